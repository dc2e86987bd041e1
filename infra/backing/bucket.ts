/** The bucket of the product and the bucket of its access logs. */
import { Aws, Duration, RemovalPolicy, type Stack } from 'aws-cdk-lib';
import { PolicyStatement, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import {
  BlockPublicAccess,
  Bucket,
  BucketEncryption,
  type BucketProps,
  type CfnBucket,
  ObjectOwnership,
} from 'aws-cdk-lib/aws-s3';
import type { Context } from '../constructs/context.ts';
import { bucketName } from '../constructs/names.ts';

const oldVersionDays = 30;
const accessLogDays = 90;

/** The bucket for our files. Only replaced versions and incomplete uploads expire. */
export function bucket(stack: Stack, { stage }: Context): Bucket {
  const name = bucketName(stage, Aws.ACCOUNT_ID, Aws.REGION);
  const accessLog = new Bucket(stack, 'bucket/access', {
    ...guarded,
    bucketName: `${name}-access`,
    objectOwnership: ObjectOwnership.BUCKET_OWNER_ENFORCED,
    lifecycleRules: [{ expiration: Duration.days(accessLogDays) }],
  });
  const made = new Bucket(stack, 'bucket', {
    ...guarded,
    bucketName: name,
    versioned: true,
    lifecycleRules: [
      {
        noncurrentVersionExpiration: Duration.days(oldVersionDays),
        abortIncompleteMultipartUploadAfter: Duration.days(1),
      },
    ],
  });
  logsTo(accessLog, made);
  return made;
}

/** Grants by a bucket policy, as S3 recommends; CDK would write an access control list. */
function logsTo(accessLog: Bucket, made: Bucket): void {
  accessLog.addToResourcePolicy(
    new PolicyStatement({
      principals: [new ServicePrincipal('logging.s3.amazonaws.com')],
      actions: ['s3:PutObject'],
      resources: [accessLog.arnForObjects('*')],
      conditions: { StringEquals: { 'aws:SourceAccount': Aws.ACCOUNT_ID } },
    }),
  );
  (made.node.defaultChild as CfnBucket).loggingConfiguration = {
    destinationBucketName: accessLog.bucketName,
  };
}

const guarded = {
  encryption: BucketEncryption.S3_MANAGED,
  blockPublicAccess: BlockPublicAccess.BLOCK_ALL,
  enforceSSL: true,
  minimumTLSVersion: 1.2,
  removalPolicy: RemovalPolicy.RETAIN,
} as const satisfies BucketProps;
