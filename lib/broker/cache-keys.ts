/** Where the cache keeps what the site reads; a name stands under its own key, so that renaming a company is one. */
export const profileKey = (brokerId: string): string => `broker:profile:${brokerId}`;
export const companyKey = (companyId: string): string => `broker:company:${companyId}`;
export const storeKey = (storeId: string): string => `broker:store:${storeId}`;
