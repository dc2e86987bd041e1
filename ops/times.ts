/** Formats a time in Shanghai time, as everywhere in Signalbox. */
export const timeOf = (date: Date): string =>
  date.toLocaleString('sv', { timeZone: 'Asia/Shanghai' });
