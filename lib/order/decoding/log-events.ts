/** The events of the binlog that the reader understands. */

/** The columns of an order row that the reader needs, from a row image. */
export interface OrderImage {
  readonly order_id: string;
  readonly patient_id: string | null;
  readonly nurse_id: string | null;
  readonly status: string;
  readonly changed_by: string;
}

/** A row before and after a change. `before` is null for an insert, `after` for a delete. */
export interface RowChange {
  readonly before: OrderImage | null;
  readonly after: OrderImage | null;
  /** Time of the change in whole seconds, by the clock of the server that made it. */
  readonly atMs: number;
  /**
   * The position of the change, if it was read earlier: rows of an XA transaction are read when it is
   * prepared, and take effect when it is committed.
   */
  readonly place?: string;
}

/** One event. `position` is the end of the event in the binlog file. */
export type LogEvent =
  | { readonly kind: 'file'; readonly file: string; readonly position: number }
  /** The head of a file. */
  | {
      readonly kind: 'header';
      readonly position: number;
      /** All GTIDs of the files before this one. */
      readonly gtids?: string;
    }
  | {
      readonly kind: 'transaction';
      readonly gtid: string | null;
      readonly position: number;
      /** Commit time on the server of origin. A session can set the times of the other events to any value. */
      readonly committedAtMs?: number;
    }
  | { readonly kind: 'begin' }
  | { readonly kind: 'rows'; readonly changes: readonly RowChange[] }
  /** The end of a transaction: XID, COMMIT, or ROLLBACK of changes that cannot be rolled back. */
  | { readonly kind: 'end'; readonly position: number; readonly atMs: number }
  /** SQL text: a transaction by itself (DDL) unless one is open. */
  | {
      readonly kind: 'statement';
      readonly schema: string;
      readonly sql: string;
      /** The statement may have changed orders through a trigger that our user may not read. */
      readonly unclear?: true;
      readonly position: number;
      readonly atMs: number;
    }
  | { readonly kind: 'xa start'; readonly xid: string }
  /** Prepared: the rows since `xa start` are stored until the commit, which is a separate transaction. */
  | { readonly kind: 'xa prepared'; readonly position: number; readonly atMs: number }
  /** Prepared and committed in one step: its rows are those of the open transaction. */
  | { readonly kind: 'xa one phase'; readonly position: number; readonly atMs: number }
  | (XaEnd<'xa committed'> & {
      /** False if the transaction was prepared before the first event that was read. */
      readonly known?: boolean;
    })
  | XaEnd<'xa rolled back'>;

interface XaEnd<Kind> {
  readonly kind: Kind;
  readonly xid: string;
  readonly position: number;
  readonly atMs: number;
}
