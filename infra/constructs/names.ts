/** The bus that the domains' events pass. */
export const busName = 'signalbox';

/** A bucket's name is one for all accounts and regions of the world. */
export const bucketName = (stage: string, account: string, region: string): string =>
  `signalbox-${stage}-${account}-${region}`;

/** Where a domain's configuration document is found in Systems Manager. */
export const settingsName = (stage: string, domain: string): string =>
  `/signalbox/${stage}/config/${domain}`;
