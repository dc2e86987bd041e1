/** Classifies the errors of MySQL servers and of connections to them. */

/**
 * What the error of a MySQL server says about a statement.
 *
 * - `unavailable`: the server cannot execute any such statement now: it starts, shuts down, is full, is read-only, or
 *   denies this user its rights. The connection is closed, and a message that fails with it is redelivered.
 * - `conflict`: other transactions were in the way. The same transaction is retried in place.
 * - every other error: the statement itself is wrong, and a retry cannot help.
 *
 * The list comes from a review of all 1,969 names that mysql2 knows (docs/decisions/0040-mysql-errors.md).
 * https://dev.mysql.com/doc/mysql-errors/8.0/en/server-error-reference.html
 */
export type MysqlFault = 'unavailable' | 'conflict';

/** Names of errors by number, grouped by fault and cause. */
export const mysqlFaults = {
  unavailable: {
    'it starts, ends, or ended this connection': {
      1047: 'ER_UNKNOWN_COM_ERROR', // The answer of a cluster node that is not ready.
      1053: 'ER_SERVER_SHUTDOWN',
      1077: 'ER_NORMAL_SHUTDOWN',
      1078: 'ER_GOT_SIGNAL',
      1079: 'ER_SHUTDOWN_COMPLETE',
      1080: 'ER_FORCING_CLOSE',
      1152: 'ER_ABORTING_CONNECTION',
      1184: 'ER_NEW_ABORTING_CONNECTION',
      1317: 'ER_QUERY_INTERRUPTED',
      3032: 'ER_SERVER_OFFLINE_MODE',
      3168: 'ER_SERVER_ISNT_AVAILABLE',
      3169: 'ER_SESSION_WAS_KILLED',
      4031: 'ER_CLIENT_INTERACTION_TIMEOUT',
    },
    'the network': {
      1042: 'ER_BAD_HOST_ERROR',
      1043: 'ER_HANDSHAKE_ERROR',
      1154: 'ER_NET_READ_ERROR_FROM_PIPE',
      1155: 'ER_NET_FCNTL_ERROR',
      1156: 'ER_NET_PACKETS_OUT_OF_ORDER',
      1157: 'ER_NET_UNCOMPRESS_ERROR',
      1158: 'ER_NET_READ_ERROR',
      1159: 'ER_NET_READ_INTERRUPTED',
      1160: 'ER_NET_ERROR_ON_WRITE',
      1161: 'ER_NET_WRITE_INTERRUPTED',
    },
    'too many of something, or too slow': {
      1028: 'ER_FILSORT_ABORT', // A sort failed because of another error of this list.
      1040: 'ER_CON_COUNT_ERROR',
      1129: 'ER_HOST_IS_BLOCKED',
      1135: 'ER_CANT_CREATE_THREAD',
      1203: 'ER_TOO_MANY_USER_CONNECTIONS',
      1206: 'ER_LOCK_TABLE_FULL',
      1226: 'ER_USER_LIMIT_REACHED',
      1461: 'ER_MAX_PREPARED_STMT_COUNT_REACHED',
      1637: 'ER_TOO_MANY_CONCURRENT_TRXS',
      3024: 'ER_QUERY_TIMEOUT',
      4081: 'ER_DA_GLOBAL_CONN_LIMIT',
      4082: 'ER_DA_CONN_LIMIT',
    },
    'its memory, disk or files': {
      1021: 'ER_DISK_FULL',
      1024: 'ER_ERROR_ON_READ',
      1026: 'ER_ERROR_ON_WRITE',
      1030: 'ER_GET_ERRNO',
      1037: 'ER_OUTOFMEMORY',
      1038: 'ER_OUT_OF_SORTMEMORY',
      1041: 'ER_OUT_OF_RESOURCES',
      1114: 'ER_RECORD_FILE_FULL',
      1180: 'ER_ERROR_DURING_COMMIT',
      1181: 'ER_ERROR_DURING_ROLLBACK',
      1194: 'ER_CRASHED_ON_USAGE',
      1195: 'ER_CRASHED_ON_REPAIR',
      1296: 'ER_GET_ERRMSG',
      1297: 'ER_GET_TEMPORARY_ERRMSG',
      1534: 'ER_BINLOG_ROW_LOGGING_FAILED',
      1598: 'ER_BINLOG_LOGGING_IMPOSSIBLE',
      1812: 'ER_TABLESPACE_MISSING',
      1814: 'ER_TABLESPACE_DISCARDED',
      3015: 'ER_ENGINE_OUT_OF_MEMORY',
      3019: 'ER_INNODB_UNDO_LOG_FULL',
      3185: 'ER_CANNOT_FIND_KEY_IN_KEYRING',
      3675: 'ER_DISK_FULL_NOWAIT',
      3985: 'ER_MDL_OUT_OF_RESOURCES',
    },
    'it only reads: a writer that became a reader in a fail-over': {
      1036: 'ER_OPEN_AS_READONLY',
      1207: 'ER_READ_ONLY_TRANSACTION',
      1223: 'ER_CANT_UPDATE_WITH_READLOCK',
      1290: 'ER_OPTION_PREVENTS_STATEMENT',
      1792: 'ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION',
      1836: 'ER_READ_ONLY_MODE',
      1874: 'ER_INNODB_READ_ONLY',
      3098: 'ER_BEFORE_DML_VALIDATION_ERROR',
      3100: 'ER_RUN_HOOK_ERROR',
      3781: 'ER_GR_HOLD_WAIT_TIMEOUT',
      3782: 'ER_GR_HOLD_KILLED',
      3783: 'ER_GR_HOLD_MEMBER_STATUS_ERROR',
      3796: 'ER_GRP_TRX_CONSISTENCY_NOT_ALLOWED',
      3797: 'ER_GRP_TRX_CONSISTENCY_BEFORE',
      3798: 'ER_GRP_TRX_CONSISTENCY_AFTER_ON_TRX_BEGIN',
      3799: 'ER_GRP_TRX_CONSISTENCY_BEGIN_NOT_ALLOWED',
      3989: 'ER_SCHEMA_READ_ONLY',
    },
    'our user, its password or what it may do: configuration': {
      1044: 'ER_DBACCESS_DENIED_ERROR',
      1045: 'ER_ACCESS_DENIED_ERROR',
      1130: 'ER_HOST_NOT_PRIVILEGED',
      1142: 'ER_TABLEACCESS_DENIED_ERROR',
      1143: 'ER_COLUMNACCESS_DENIED_ERROR',
      1227: 'ER_SPECIFIC_ACCESS_DENIED_ERROR',
      1251: 'ER_NOT_SUPPORTED_AUTH_MODE',
      1275: 'ER_SERVER_IS_IN_SECURE_AUTH_MODE',
      1356: 'ER_VIEW_INVALID', // Its definer lacks a right, or a table that it reads is being replaced.
      1370: 'ER_PROCACCESS_DENIED_ERROR',
      1449: 'ER_NO_SUCH_USER',
      1524: 'ER_PLUGIN_IS_NOT_LOADED',
      1698: 'ER_ACCESS_DENIED_NO_PASSWORD_ERROR',
      1820: 'ER_MUST_CHANGE_PASSWORD',
      1862: 'ER_MUST_CHANGE_PASSWORD_LOGIN',
      1873: 'ER_ACCESS_DENIED_CHANGE_USER_ERROR',
      3118: 'ER_ACCOUNT_HAS_BEEN_LOCKED',
      3159: 'ER_SECURE_TRANSPORT_REQUIRED',
      3160: 'ER_NO_SECURE_TRANSPORTS_CONFIGURED',
      3879: 'ER_DB_ACCESS_DENIED',
      3955: 'ER_USER_ACCESS_DENIED_FOR_USER_ACCOUNT_BLOCKED_BY_PASSWORD_LOCK',
    },
  },
  conflict: {
    'locks and changes of others': {
      1020: 'ER_CHECKREAD',
      1205: 'ER_LOCK_WAIT_TIMEOUT',
      1213: 'ER_LOCK_DEADLOCK',
      1412: 'ER_TABLE_DEF_CHANGED',
      1615: 'ER_NEED_REPREPARE',
      1689: 'ER_LOCK_ABORTED',
      3101: 'ER_TRANSACTION_ROLLBACK_DURING_COMMIT',
      3572: 'ER_LOCK_NOWAIT',
    },
  },
} as const satisfies Record<MysqlFault, Record<string, Record<number, string>>>;

const faultByNumber = new Map(
  Object.entries(mysqlFaults).flatMap(([fault, groups]) =>
    Object.values(groups)
      .flatMap((group) => Object.keys(group))
      .map((errno) => [Number(errno), fault as MysqlFault]),
  ),
);

/**
 * Returns the fault for the number of a server error, or undefined if the statement is wrong or the error is not of a
 * server.
 */
export const mysqlFaultOf = (error: unknown): MysqlFault | undefined =>
  error instanceof Error && 'errno' in error ? faultByNumber.get(Number(error.errno)) : undefined;

/**
 * Codes of Node and mysql2 for a connection that cannot be opened or has ended. TLS errors are included, because an
 * untrusted certificate says nothing about a statement. https://nodejs.org/api/tls.html#x509-certificate-error-codes
 */
const connectionCodes = new Set([
  ...['ECONNABORTED', 'ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'EPROTO'],
  ...['EHOSTDOWN', 'EHOSTUNREACH', 'ENETDOWN', 'ENETUNREACH', 'EADDRNOTAVAIL'],
  ...['EAI_AGAIN', 'EAI_FAIL', 'EAI_NODATA', 'ENODATA', 'ENOTFOUND', 'ESERVFAIL'],
  ...['EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM'],
  ...['CERT_CHAIN_TOO_LONG', 'CERT_HAS_EXPIRED', 'CERT_NOT_YET_VALID', 'CERT_REJECTED'],
  ...['CERT_REVOKED', 'CERT_SIGNATURE_FAILURE', 'CERT_UNTRUSTED', 'CRL_HAS_EXPIRED'],
  ...['DEPTH_ZERO_SELF_SIGNED_CERT', 'HOSTNAME_MISMATCH', 'INVALID_CA', 'INVALID_PURPOSE'],
  ...['PATH_LENGTH_EXCEEDED', 'SELF_SIGNED_CERT_IN_CHAIN', 'UNABLE_TO_GET_CRL'],
  ...['UNABLE_TO_GET_ISSUER_CERT', 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY'],
  ...['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'HANDSHAKE_NO_SSL_SUPPORT', 'HANDSHAKE_SSL_ERROR'],
  ...['AUTH_SWITCH_PLUGIN_ERROR', 'HANDSHAKE_UNKNOWN_ERROR'],
  ...['PROTOCOL_CONNECTION_LOST', 'PROTOCOL_SEQUENCE_TIMEOUT', 'PROTOCOL_UNEXPECTED_PACKET'],
]);
const tlsPrefixes = ['ERR_TLS_', 'ERR_SSL_', 'ERR_OSSL_'] as const;

/** Returns whether an error means that a connection could not be opened or has ended. */
export function isConnectionLost(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code = 'code' in error ? String(error.code) : '';
  return connectionCodes.has(code) || tlsPrefixes.some((prefix) => code.startsWith(prefix));
}
