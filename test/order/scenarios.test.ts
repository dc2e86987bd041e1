import { expect, test } from 'vitest';
import {
  type OrderStatus,
  orderStatuses,
  scenarioByNumber,
  scenarioOf,
  scenarios,
} from '../../lib/order/pushes/scenarios.ts';
import { orderSwitches } from '../../lib/order/switches.ts';
import { isSwitch } from '../../lib/platform/operations/switches.ts';

const statuses = Object.keys(orderStatuses) as OrderStatus[];
const actors = ['patient', 'nurse', 'system', 'support'] as const;

/** Every change that pushes, one to a line, as the business speaks of them. */
const pushing = `
  1 待支付 已取消 system
  1 支付中 已取消 system
  2 支付中 待接单 patient
  2 支付中 待接单 system
  3 高优先待接单 退款中 system
  3 派单 退款中 system
  4 退款申请中 退款中 nurse
  4 退款申请中 退款中 support
  4 服务纠纷 退款中 nurse
  4 服务纠纷 退款中 support
  5 服务中 退款中 nurse
  6 服务中 退款申请中 patient
  6 服务完成 退款申请中 patient
  7 退款申请中 服务中 patient
  7 退款申请中 服务完成 patient
  7 服务纠纷 服务中 patient
  7 服务纠纷 服务完成 patient
  8 待接单 待服务 nurse
  9 退款申请中 服务纠纷 nurse
  10 退款申请中 服务纠纷 system
  11 服务纠纷 服务中 support
  11 服务纠纷 服务完成 support
  12 服务中 服务纠纷 nurse
  13 待服务 服务中 nurse
  14 服务中 服务超时 system
  14 服务中 服务异常 system
  14 服务超时 服务异常 system
  15 服务中 服务完成 nurse`
  .trim()
  .split('\n')
  .map((line) => line.trim())
  .toSorted();

const all = statuses.flatMap((before) =>
  statuses.flatMap((after) => actors.map((by) => ({ before, after, by }))),
);

test('of all 15 × 15 × 4 changes just these push, each for one scenario', () => {
  expect(all).toHaveLength(900);
  const found = all.flatMap(({ before, after, by }) => {
    const scenario = scenarioOf(before, after, by);
    if (!scenario) return [];
    return [`${scenario.number} ${orderStatuses[before]} ${orderStatuses[after]} ${by}`];
  });
  expect(found.toSorted()).toEqual(pushing);
});

test('no change is that of two scenarios, nor twice that of one', () => {
  const keys = scenarios.flatMap(({ changes }) =>
    changes.flatMap(({ before, after, by }) =>
      before.flatMap((from) => after.flatMap((to) => by.map((who) => `${from} ${to} ${who}`))),
    ),
  );
  expect(keys).toHaveLength(pushing.length);
  expect(new Set(keys).size).toBe(keys.length);
});

test('each scenario has the required receiver, channel and text', () => {
  const said = scenarios.map(({ number, name, receiver, channel, text }) =>
    [number, name, receiver, text, channel].join('|'),
  );
  expect(said).toEqual([
    '1|患者支付超时|patient|您的订单由于长时间没支付，已被取消。|wechat',
    '2|患者支付成功|nurse|您有新的可接接单。|app',
    '3|订单2小时无人接单|patient|您的订单超时无人接单，正在给您退款。|wechat',
    '4|同意退款|patient|您的退款已被同意，正在给您退款。|wechat',
    '5|护士取消订单|patient|抱歉！为您服务的护士已取消订单，正在给您退款。|wechat',
    '6|患者申请退款|nurse|您的订单患者正申请退款。|app',
    '7|患者取消退款|nurse|您的订单患者已取消退款|app',
    '8|护士接单|patient|您的订单已接单，点击查看订单详情。|wechat',
    '9|接单后患者发起退款，护士拒绝|patient|您的退款申请护士已拒绝，等待客服人员处理，点击查看订单详情|wechat',
    '10|接单后患者发起退款，超时|patient|您的退款申请由于长时间无人确认，需等待客服人员处理，点击查看订单详情。|wechat',
    '11|服务纠纷时，运营拒绝退款|patient|您的退款申请客服人员已拒绝，点击查看订单详情。|wechat',
    '12|服务中，护士进入纠纷|patient|为您服务的护士选择进入纠纷，点击查看订单详情。|wechat',
    '13|服务开始|patient|您的订单服务已开始，可以查看宣教内容，点击查看详情。|wechat',
    '14|服务超时/异常|nurse|您的订单已超时，请尽快完成服务。|app',
    '15|服务完成（护士触发）|patient|护士已完成订单所有服务步骤，请及时做出评价。|wechat',
  ]);
});

test('two scenarios are urgent', () => {
  expect(scenarios.filter(({ urgent }) => urgent).map(({ number }) => number)).toEqual([2, 14]);
});

test('what is no status, or nobody we know, pushes nothing', () => {
  expect(scenarioOf('PAYING', 'SOMETHING_NEW', 'system')).toBeUndefined();
  expect(scenarioOf('', 'CANCELLED', 'system')).toBeUndefined();
  expect(scenarioOf('PAYING', 'CANCELLED', 'robot')).toBeUndefined();
  expect(scenarioOf('paying', 'CANCELLED', 'system')).toBeUndefined();
});

test('a scenario is found by its number, and none by another', () => {
  expect(scenarioByNumber(8).name).toBe('护士接单');
  expect(() => scenarioByNumber(16)).toThrow('There is no scenario 16.');
});

test('every scenario has a kill switch, and no other number has one', () => {
  const numbers = Array.from({ length: 200 }, (_, number) => number);
  expect(numbers.filter((number) => isSwitch(orderSwitches, `order/scenario-${number}`))).toEqual(
    scenarios.map(({ number }) => number).toSorted((a, b) => a - b),
  );
});
