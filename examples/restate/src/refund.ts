// A refund: small ones go out at once, and a person decides the others.

import { TerminalError, type WorkflowContext, workflow } from '@restatedev/restate-sdk'
import { type Desk, ask } from './ask.js'
import { pay } from './ledger.js'

/** What may be given back without asking. */
export const LIMIT_CENTS = 50_00

export interface RefundRequest {
  order: string
  /** What the customer paid, and wants back. */
  cents: number
  why: string
}

export type RefundOutcome =
  | { outcome: 'refunded'; cents: number; allowed_by: 'limit' | 'person' }
  | { outcome: 'rejected'; reason: string | null }
  | { outcome: 'withdrawn'; reason: string | null }

export type RefundWorkflow = ReturnType<typeof refundWorkflow>

/** The workflow. Its id names the refund: to start it twice is to start it once. */
export function refundWorkflow(desk: Desk, ledger: string) {
  return workflow({
    name: 'refund',
    handlers: {
      run: async (ctx: WorkflowContext, request: RefundRequest): Promise<RefundOutcome> => {
        let { cents } = request
        if (!Number.isSafeInteger(cents) || cents < 1) throw new TerminalError('cents is a whole number above 0')
        const asks = cents > LIMIT_CENTS
        if (asks) {
          const { phase, state, output, reason } = await ask(ctx, desk, {
            schema_name: 'refunds',
            task: 'refund',
            external_id: ctx.key,
            meta: { ...request },
          })
          if (phase !== 'resolved') return { outcome: 'withdrawn', reason }
          if (state !== 'approved') return { outcome: 'rejected', reason }
          // What was approved counts, and not what was asked for. The inbox has held it to the type's `output`, which can't
          // know what this customer paid.
          cents = (output as { cents: number }).cents
          if (cents > request.cents) throw new TerminalError(`${cents} cents were approved, and ${request.cents} paid`)
        }
        await ctx.run('pay', () => pay(ledger, ctx.key, cents))
        return { outcome: 'refunded', cents, allowed_by: asks ? 'person' : 'limit' }
      },
    },
    options: {
      // What waits for a person is not kept in memory meanwhile. The default is a minute.
      inactivityTimeout: { seconds: 1 },
    },
  })
}
