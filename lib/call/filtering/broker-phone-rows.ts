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

/** As long as the columns; no telephone number has more digits. */
const lengths = { phone: 20, digits: 20 } as const;
/** Ids named in an outcome. */
const namedMax = 20;

/** The row of `broker_phone` by which a broker is known; undefined where a row has no number, or none that can be one. */
export function phoneRow({ id, phone, stamp }: UpstreamPhone) {
  const digits = digitsOf(phone ?? '');
  if (!phone || !digits || !isUsable({ id, phone })) return undefined;
  const updated_at = dateOrNull(stamp) && stamp;
  return { broker_id: id, phone: cutTo(phone, lengths.phone), digits, updated_at };
}

export type PhoneRow = NonNullable<ReturnType<typeof phoneRow>>;

/** Whether a row is a broker's, with a number that is one or without a number. */
const isUsable = ({ id, phone }: Pick<UpstreamPhone, 'id' | 'phone'>): boolean =>
  isId(id) && digitsOf(phone ?? '').length <= lengths.digits;

/** Collects the ids of rows that cannot be used, some of them by name. */
export function unusablePhones() {
  const ids = new Set<string>();
  return {
    note: (rows: readonly UpstreamPhone[]): void => {
      for (const row of rows) if (ids.size < namedMax && !isUsable(row)) ids.add(row.id);
    },
    facts: () => (ids.size ? { unusable: [...ids] } : {}),
  };
}
