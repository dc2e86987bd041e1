/** Pure: which contract numbers can be part of a URL. */

/** Path segments that URLs remove even when they are escaped, so K3 cannot be asked about such a contract. */
const pathSegments: ReadonlySet<string> = new Set(['.', '..']);

/** Returns whether a contract number can be part of a URL. */
export const isAddressable = (number: string): boolean => !pathSegments.has(number);
