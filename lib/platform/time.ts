/** Converts between dates and wall times in Shanghai. */

/**
 * `WallTime` is a time as MySQL shows it, `YYYY-MM-DD HH:mm:ss` in Asia/Shanghai. The zone has had no summer time
 * since 1991, so arithmetic and comparison as text are safe.
 */
export type WallTime = string;

const shanghaiMs = 8 * 3_600_000;

export const wallTime = (date: Date): WallTime =>
  new Date(date.getTime() + shanghaiMs).toISOString().slice(0, 19).replace('T', ' ');

/** Returns the wall time with milliseconds, as DATETIME(3) shows it. */
export const wallTimeMs = (date: Date): string =>
  new Date(date.getTime() + shanghaiMs).toISOString().slice(0, 23).replace('T', ' ');

export const dateOf = (time: WallTime): Date => new Date(`${time.replace(' ', 'T')}+08:00`);

/** Returns the date of a wall time, or null for MySQL's zero dates, also partial ones (`2014-09-00`). */
export function dateOrNull(time: WallTime | null): Date | null {
  if (time === null || /^0000-|-00[- ]|-00$/.test(time)) return null;
  const date = dateOf(time);
  return Number.isNaN(date.getTime()) ? null : date;
}

export const plusSeconds = (time: WallTime, seconds: number): WallTime =>
  wallTime(new Date(dateOf(time).getTime() + seconds * 1000));

export const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));
