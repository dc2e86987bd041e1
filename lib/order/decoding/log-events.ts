/** A row of the order table as a row image shows it, as far as we look at it. */
export interface OrderImage {
  readonly order_id: string;
  readonly patient_id: string | null;
  readonly nurse_id: string | null;
  readonly status: string;
  readonly changed_by: string;
}

/** A row before and after a change; one that was made has no `before`, a deleted one no `after`. */
export interface RowChange {
  readonly before: OrderImage | null;
  readonly after: OrderImage | null;
  /** To the second, by the clock of the server that made the change. */
  readonly atMs: number;
  /**
   * Where the change stands, if that is not where it is read: the rows of an XA transaction stand
   * where it was prepared, and count when it is committed.
   */
  readonly place?: string;
}

/** What the binlog says, in its order. A `position` is that of the end of the event. */
export type LogEvent =
  | { readonly kind: 'file'; readonly file: string; readonly position: number }
  /** What stands at the head of a file. */
  | {
      readonly kind: 'header';
      readonly position: number;
      /** All GTIDs of the files before it. */
      readonly gtids?: string;
    }
  | {
      readonly kind: 'transaction';
      readonly gtid: string | null;
      readonly position: number;
      /** When it was committed where it came about; the times of its other events may be any. */
      readonly committedAtMs?: number;
    }
  | { readonly kind: 'begin' }
  | { readonly kind: 'rows'; readonly changes: readonly RowChange[] }
  /** The transaction is over: XID, COMMIT, or ROLLBACK of what can be rolled back no more. */
  | { readonly kind: 'end'; readonly position: number; readonly atMs: number }
  /** SQL: a transaction of its own (DDL) unless one is open. */
  | {
      readonly kind: 'statement';
      readonly schema: string;
      readonly sql: string;
      /** It may have changed orders by a trigger that cannot be seen. */
      readonly unclear?: true;
      readonly position: number;
      readonly atMs: number;
    }
  | { readonly kind: 'xa start'; readonly xid: string }
  /** The rows since `xa start` are kept until their commit, which is a transaction of its own. */
  | { readonly kind: 'xa prepared'; readonly position: number; readonly atMs: number }
  /** Prepared and committed in one: the rows are those of the open transaction. */
  | { readonly kind: 'xa one phase'; readonly position: number; readonly atMs: number }
  | (XaEnd<'xa committed'> & {
      /** False where it was prepared before all that was read. */
      readonly known?: boolean;
    })
  | XaEnd<'xa rolled back'>;

interface XaEnd<Kind> {
  readonly kind: Kind;
  readonly xid: string;
  readonly position: number;
  readonly atMs: number;
}
