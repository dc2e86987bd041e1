/** Where a domain's configuration document is found in Systems Manager. */
export const settingsName = (stage: string, domain: string): string =>
  `/signalbox/${stage}/config/${domain}`;
