/** Pure: how telephone numbers are compared and masked. */
import { mask } from '../platform/lambda/mask.ts';

/** 86 is a country code only if at least this many digits follow. */
const nationalDigitsMin = 7;

/**
 * Returns the digits by which a telephone number is compared: without separators, without 0086 or 86, and without a 0
 * before a mobile number. All spellings of one number give the same text.
 */
export function digitsOf(phone: string): string {
  const digits = phone.replaceAll(/[０-９]/g, halfWidth).replaceAll(/\D/g, '');
  const national = digits.replace(new RegExp(`^(?:00)?86(?=\\d{${nationalDigitsMin}})`), '');
  return national.replace(/^0(?=1[3-9])/, '');
}

/** Converts a full-width digit, as Chinese input methods write it. */
const halfWidth = (digit: string): string =>
  String.fromCharCode(digit.charCodeAt(0) - '０'.charCodeAt(0) + '0'.charCodeAt(0));

/** Masks the middle of a number: 138****0001, 021****5678. Masks a short number completely. */
export function maskNumber(number: string): string {
  const known = mask(number);
  if (known !== number) return known;
  const characters = Array.from(number);
  if (characters.length < 8) return '****';
  return `${characters.slice(0, 3).join('')}****${characters.slice(-4).join('')}`;
}
