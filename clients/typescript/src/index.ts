// The client of task-inbox: post a task, wait for its decision, follow the log, verify webhooks.

export type * from './types.js'
export * from './errors.js'
export { TaskInbox } from './inbox.js'
export type {
  ChangeOptions,
  DecideOptions,
  PostOptions,
  RequestOptions,
  SubscribeOptions,
  TaskInboxOptions,
  WaitOptions,
} from './inbox.js'
export { Subscription } from './subscription.js'
export type { Retry } from './transport.js'
export { verifyWebhook } from './webhook.js'
export type { VerifyOptions, WebhookHeaders } from './webhook.js'
