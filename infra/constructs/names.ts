/** The name of the bus of the domains' events. */
export const busName = 'signalbox';

/** A bucket's name must be unique across all accounts and regions. */
export const bucketName = (stage: string, account: string, region: string): string =>
  `signalbox-${stage}-${account}-${region}`;

/** The name of a domain's configuration document in Systems Manager. */
export const settingsName = (stage: string, domain: string): string =>
  `/signalbox/${stage}/config/${domain}`;
