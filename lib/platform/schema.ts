/** The tables of schema `signalbox`, which the platform keeps for itself. migrations/0001-signalbox.sql makes them. */
export interface PlatformTables {
  'signalbox.migration': { name: string; hash: string };
  'signalbox.scan_cursor': {
    name: string;
    complete_to: string;
    bound: string | null;
    at_time: string;
    at_id: string;
    version: number;
  };
  'signalbox.scan_seen': { name: string; id: string; stamp: string; hash: Buffer };
}
