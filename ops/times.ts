/** Shanghai's wall time, as everywhere in the product. */
export const timeOf = (date: Date): string =>
  date.toLocaleString('sv', { timeZone: 'Asia/Shanghai' });
