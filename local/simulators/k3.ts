/** Simulates K3, the ERP. */
import * as z from 'zod';
import { type Partner, type Simulator, startSimulator } from './controls.ts';

/** The only existing account set. Every other name is refused, also the same name with half-width parentheses. */
export const accountSet = '瑞庭（上海）1117 aaa';

const Contract = z.strictObject({
  KDAccount: z.string(),
  number: z.string().min(1),
  customer: z.string(),
  amount: z.int(),
  signed_at: z.string(),
});
type Contract = z.infer<typeof Contract>;

const prefix = '/contracts';

/** Makes the ERP, as far as contracts are posted to it. */
export function k3(): Partner {
  const contracts = new Map<string, Contract & { readonly bill_no: string }>();
  const no = (message: string) => ({ body: { success: false, message } });

  function post(contract: Contract) {
    if (contract.KDAccount !== accountSet) return no(`账套不存在：${contract.KDAccount}`);
    const before = contracts.get(contract.number);
    if (before) return { body: { success: true, bill_no: before.bill_no } };
    if (!contract.customer) return no('客户不存在');
    const bill_no = `XSHT${String(contracts.size + 1).padStart(6, '0')}`;
    contracts.set(contract.number, { ...contract, bill_no });
    return { body: { success: true, bill_no } };
  }

  function read(number: string) {
    const contract = contracts.get(number);
    return contract ? { body: { success: true, ...contract } } : no(`单据不存在：${number}`);
  }

  return {
    state: () => ({ contracts: Object.fromEntries(contracts) }),
    reset: () => contracts.clear(),
    refuse: () => no('客户不存在'),
    handle: ({ method, path, body }) => {
      if (method === 'POST' && path === prefix) return post(Contract.parse(body));
      const number = decodeURIComponent(path.slice(prefix.length + 1));
      return method === 'GET' && path.startsWith(`${prefix}/`) ? read(number) : undefined;
    },
  };
}

export const startK3 = (port = 0): Promise<Simulator> => startSimulator(k3, port);
