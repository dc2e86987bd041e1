import { mask } from '../platform/lambda/mask.ts';

/** Shorter than this behind it, 86 is no country code but the beginning of a local number. */
const nationalDigitsMin = 7;

/**
 * What of a telephone number is compared: its digits, without 0086 or 86 and without a 0 before a mobile number,
 * however it is parted. Two spellings of one number give the same text.
 */
export function digitsOf(phone: string): string {
  const digits = phone.replaceAll(/[０-９]/g, halfWidth).replaceAll(/\D/g, '');
  const national = digits.replace(new RegExp(`^(?:00)?86(?=\\d{${nationalDigitsMin}})`), '');
  return national.replace(/^0(?=1[3-9])/, '');
}

/** Full-width digits are those of Chinese input methods. */
const halfWidth = (digit: string): string =>
  String.fromCharCode(digit.charCodeAt(0) - '０'.charCodeAt(0) + '0'.charCodeAt(0));

/** Numbers of any kind: 138****0001, 021****5678, and short ones not at all. */
export function maskNumber(number: string): string {
  const known = mask(number);
  if (known !== number) return known;
  const characters = Array.from(number);
  if (characters.length < 8) return '****';
  return `${characters.slice(0, 3).join('')}****${characters.slice(-4).join('')}`;
}
