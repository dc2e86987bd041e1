/**
 * Wall time as MySQL shows it, `YYYY-MM-DD HH:mm:ss` in Asia/Shanghai. The zone has no summer time (since 1991),
 * so wall times can be added to, and compare as text.
 */
export type WallTime = string;

const shanghaiMs = 8 * 3_600_000;

export const wallTime = (date: Date): WallTime =>
  new Date(date.getTime() + shanghaiMs).toISOString().slice(0, 19).replace('T', ' ');

/** The same to the millisecond, as DATETIME(3) shows it. */
export const wallTimeMs = (date: Date): string =>
  new Date(date.getTime() + shanghaiMs).toISOString().slice(0, 23).replace('T', ' ');

export const dateOf = (time: WallTime): Date => new Date(`${time.replace(' ', 'T')}+08:00`);

export const plusSeconds = (time: WallTime, seconds: number): WallTime =>
  wallTime(new Date(dateOf(time).getTime() + seconds * 1000));

export const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));
