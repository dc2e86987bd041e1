/** Another system's; as far as it is read here. */
export interface UpstreamPhones {
  'anjuke_db.ajk_brokerextend': {
    BrokerId: string;
    UserMobile: string | null;
    updated_datetime: string | null;
  };
}
