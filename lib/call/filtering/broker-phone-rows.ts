/** Pure: turns upstream's rows into rows of `broker_phone`, and collects those that cannot be used. */
import { cutTo } from '../../platform/cut.ts';
import { isId } from '../../platform/ids.ts';
import { dateOrNull } from '../../platform/time.ts';
import { digitsOf } from '../phone-numbers.ts';

/** A row of `anjuke_db.ajk_brokerextend`. */
export interface UpstreamPhone {
  readonly id: string;
  readonly phone: string | null;
  readonly stamp: string | null;
}

/** Lengths of the columns; no telephone number has more digits. */
const lengths = { phone: 20, digits: 20 } as const;
/** Maximum of ids named in the log line. */
const namedMax = 20;

/** Returns the row of `broker_phone`; `undefined` if the broker has no number, or one that cannot be a number. */
export function phoneRow({ id, phone, stamp }: UpstreamPhone) {
  const digits = digitsOf(phone ?? '');
  if (!phone || !digits || !isUsable({ id, phone })) return undefined;
  const updated_at = dateOrNull(stamp) && stamp;
  return { broker_id: id, phone: cutTo(phone, lengths.phone), digits, updated_at };
}

export type PhoneRow = NonNullable<ReturnType<typeof phoneRow>>;

/** Returns whether a row has a valid broker id, and a possible number or none. */
const isUsable = ({ id, phone }: Pick<UpstreamPhone, 'id' | 'phone'>): boolean =>
  isId(id) && digitsOf(phone ?? '').length <= lengths.digits;

/** Makes a collector of the first ids of rows that cannot be used. */
export function unusablePhones() {
  const ids = new Set<string>();
  return {
    collect: (rows: readonly UpstreamPhone[]): void => {
      for (const row of rows) if (ids.size < namedMax && !isUsable(row)) ids.add(row.id);
    },
    facts: () => (ids.size ? { unusable: [...ids] } : {}),
  };
}
