/** The connection limit that backing.ts and local/ set on our MySQL servers. */
export const connectionsMax = 500;
