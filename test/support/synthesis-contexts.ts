const existingVpc = {
  vpc: 'vpc-0123456789abcdef0',
  vpcZones: 'us-east-1a,us-east-1b,us-east-1c',
  vpcSubnets: 'subnet-00000aaa,subnet-00000bbb,subnet-00000ccc',
  vpcSecurityGroup: 'sg-00000ddd',
};
const existingMysql = { mysqlSecurityGroup: 'sg-00000eee' };
const existingSearch = { opensearchUrl: 'https://search.example.com' };
const partners = {
  broker_weidian_api: 'https://weishop.example.com',
  payment_base_api_url: 'https://payment.example.com',
  listing_api_url: 'https://listing.example.com',
  k3_url: 'https://k3.example.com',
  singer_url: 'https://singer.example.com',
};
const cloud = { stage: 'cloud', ...partners };

/** The contexts in which the product must be synthesised, by what is there already. */
export const sites = {
  local: { stage: 'local' },
  cloud,
  'cloud with an address': { ...cloud, addressAllocation: 'eipalloc-00000fff' },
  'cloud with OpenSearch': { ...cloud, ...existingSearch },
  'cloud with a VPC': { ...cloud, ...existingVpc },
  'cloud with a VPC and MySQL': { ...cloud, ...existingVpc, ...existingMysql },
  'cloud with a VPC and OpenSearch': { ...cloud, ...existingVpc, ...existingSearch },
  'cloud with all of them': { ...cloud, ...existingVpc, ...existingMysql, ...existingSearch },
} as const;
