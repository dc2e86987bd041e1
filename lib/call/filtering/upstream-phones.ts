/** Types of upstream's table of brokers: the columns that are read here. */
export interface UpstreamPhones {
  'anjuke_db.ajk_brokerextend': {
    BrokerId: string;
    UserMobile: string | null;
    updated_datetime: string | null;
  };
}
