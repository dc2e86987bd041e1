/**
 * Redis keys of what the site reads. Company and store names have their own keys, so renaming a company invalidates
 * one key.
 */
export const profileKey = (brokerId: string): string => `broker:profile:${brokerId}`;
export const companyKey = (companyId: string): string => `broker:company:${companyId}`;
export const storeKey = (storeId: string): string => `broker:store:${storeId}`;
