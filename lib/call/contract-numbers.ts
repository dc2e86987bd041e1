/** In an address they name no contract, however they are escaped: K3 cannot be asked about it. */
const pathSegments: ReadonlySet<string> = new Set(['.', '..']);

export const isAddressable = (number: string): boolean => !pathSegments.has(number);
