/** The table of scenarios: which change of an order notifies whom, with which text. No I/O. */

/** The statuses of an order with the names that the business uses. */
export const orderStatuses = {
  PENDING_PAYMENT: '待支付',
  PAYING: '支付中',
  PENDING_ACCEPT: '待接单',
  PRIORITY_PENDING_ACCEPT: '高优先待接单',
  DISPATCHING: '派单',
  PENDING_SERVICE: '待服务',
  IN_SERVICE: '服务中',
  SERVICE_OVERTIME: '服务超时',
  SERVICE_ABNORMAL: '服务异常',
  SERVICE_COMPLETED: '服务完成',
  REFUND_REQUESTED: '退款申请中',
  DISPUTE: '服务纠纷',
  REFUNDING: '退款中',
  REFUNDED: '已退款',
  CANCELLED: '已取消',
} as const;
export type OrderStatus = keyof typeof orderStatuses;

type ChangedBy = 'patient' | 'nurse' | 'system' | 'support';

const channels = { 微信内推送: 'wechat', App提醒: 'app' } as const;

export interface Scenario {
  readonly number: number;
  readonly name: string;
  readonly receiver: 'patient' | 'nurse';
  /** The push service's name of the channel. */
  readonly channel: (typeof channels)[keyof typeof channels];
  readonly text: string;
  /** Drop it if it is over two hours old or the order has changed status since. */
  readonly urgent: boolean;
  /** The changes that cause the push: from one of `before` to one of `after`, made by one of `by`. */
  readonly changes: readonly Change[];
}

interface Change {
  readonly before: readonly OrderStatus[];
  readonly after: readonly OrderStatus[];
  readonly by: readonly ChangedBy[];
}

const patient = { receiver: 'patient', channel: channels.微信内推送, urgent: false } as const;
const nurse = { receiver: 'nurse', channel: channels.App提醒, urgent: false } as const;

/** All scenarios. A change that none of them names causes no push. */
export const scenarios: readonly Scenario[] = [
  {
    number: 1,
    name: '患者支付超时',
    ...patient,
    text: '您的订单由于长时间没支付，已被取消。',
    changes: [{ before: ['PENDING_PAYMENT', 'PAYING'], after: ['CANCELLED'], by: ['system'] }],
  },
  {
    number: 2,
    name: '患者支付成功',
    ...nurse,
    urgent: true,
    text: '您有新的可接接单。',
    changes: [{ before: ['PAYING'], after: ['PENDING_ACCEPT'], by: ['patient', 'system'] }],
  },
  {
    number: 3,
    name: '订单2小时无人接单',
    ...patient,
    text: '您的订单超时无人接单，正在给您退款。',
    changes: [
      {
        before: ['PRIORITY_PENDING_ACCEPT', 'DISPATCHING'],
        after: ['REFUNDING'],
        by: ['system'],
      },
    ],
  },
  {
    number: 4,
    name: '同意退款',
    ...patient,
    text: '您的退款已被同意，正在给您退款。',
    changes: [
      {
        before: ['REFUND_REQUESTED', 'DISPUTE'],
        after: ['REFUNDING'],
        by: ['nurse', 'support'],
      },
    ],
  },
  {
    number: 5,
    name: '护士取消订单',
    ...patient,
    text: '抱歉！为您服务的护士已取消订单，正在给您退款。',
    changes: [{ before: ['IN_SERVICE'], after: ['REFUNDING'], by: ['nurse'] }],
  },
  {
    number: 6,
    name: '患者申请退款',
    ...nurse,
    text: '您的订单患者正申请退款。',
    changes: [
      {
        before: ['IN_SERVICE', 'SERVICE_COMPLETED'],
        after: ['REFUND_REQUESTED'],
        by: ['patient'],
      },
    ],
  },
  {
    number: 7,
    name: '患者取消退款',
    ...nurse,
    text: '您的订单患者已取消退款',
    changes: [
      {
        before: ['REFUND_REQUESTED', 'DISPUTE'],
        after: ['IN_SERVICE', 'SERVICE_COMPLETED'],
        by: ['patient'],
      },
    ],
  },
  {
    number: 8,
    name: '护士接单',
    ...patient,
    text: '您的订单已接单，点击查看订单详情。',
    changes: [{ before: ['PENDING_ACCEPT'], after: ['PENDING_SERVICE'], by: ['nurse'] }],
  },
  {
    number: 9,
    name: '接单后患者发起退款，护士拒绝',
    ...patient,
    text: '您的退款申请护士已拒绝，等待客服人员处理，点击查看订单详情',
    changes: [{ before: ['REFUND_REQUESTED'], after: ['DISPUTE'], by: ['nurse'] }],
  },
  {
    number: 10,
    name: '接单后患者发起退款，超时',
    ...patient,
    text: '您的退款申请由于长时间无人确认，需等待客服人员处理，点击查看订单详情。',
    changes: [{ before: ['REFUND_REQUESTED'], after: ['DISPUTE'], by: ['system'] }],
  },
  {
    number: 11,
    name: '服务纠纷时，运营拒绝退款',
    ...patient,
    text: '您的退款申请客服人员已拒绝，点击查看订单详情。',
    changes: [
      {
        before: ['DISPUTE'],
        after: ['IN_SERVICE', 'SERVICE_COMPLETED'],
        by: ['support'],
      },
    ],
  },
  {
    number: 12,
    name: '服务中，护士进入纠纷',
    ...patient,
    text: '为您服务的护士选择进入纠纷，点击查看订单详情。',
    changes: [{ before: ['IN_SERVICE'], after: ['DISPUTE'], by: ['nurse'] }],
  },
  {
    number: 13,
    name: '服务开始',
    ...patient,
    text: '您的订单服务已开始，可以查看宣教内容，点击查看详情。',
    changes: [{ before: ['PENDING_SERVICE'], after: ['IN_SERVICE'], by: ['nurse'] }],
  },
  {
    number: 14,
    name: '服务超时/异常',
    ...nurse,
    urgent: true,
    text: '您的订单已超时，请尽快完成服务。',
    changes: [
      { before: ['IN_SERVICE'], after: ['SERVICE_OVERTIME'], by: ['system'] },
      {
        before: ['IN_SERVICE', 'SERVICE_OVERTIME'],
        after: ['SERVICE_ABNORMAL'],
        by: ['system'],
      },
    ],
  },
  {
    number: 15,
    name: '服务完成（护士触发）',
    ...patient,
    text: '护士已完成订单所有服务步骤，请及时做出评价。',
    changes: [{ before: ['IN_SERVICE'], after: ['SERVICE_COMPLETED'], by: ['nurse'] }],
  },
];

/** Returns the scenario of a change. Most changes, and unknown statuses and actors, have none. */
export function scenarioOf(before: string, after: string, by: string): Scenario | undefined {
  return scenarios.find(({ changes }) =>
    changes.some(
      (change) =>
        includes(change.before, before) && includes(change.after, after) && includes(change.by, by),
    ),
  );
}

/** Returns the scenario with this number. Throws if unknown; rows only hold numbers from this table. */
export function scenarioByNumber(number: number): Scenario {
  const scenario = scenarios.find((one) => one.number === number);
  if (!scenario) throw new Error(`There is no scenario ${number}.`);
  return scenario;
}

const includes = (known: readonly string[], value: string): boolean => known.includes(value);
