/** What one of our MySQL servers is told to accept; backing/database.ts and local/ set it. */
export const connectionsMax = 500;
