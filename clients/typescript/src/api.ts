// Made by generate.mjs from ../../openapi/openapi.json and ../types.json; not to be edited.

export type paths = Record<string, never>;
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        /** @description Who acted. */
        Actor: {
            /** @description What kind of principal. */
            kind: components["schemas"]["ActorKind"];
            /**
             * Format: uuid
             * @description The key's or the person's id.
             */
            id: string | null;
            /** @description Its name when it acted. */
            name: string | null;
            /** @description For whom a program said that it acted; claimed, not proven. */
            on_behalf_of?: string | null;
        };
        /**
         * @description The kind of principal behind a change.
         * @enum {string}
         */
        ActorKind: "key" | "user" | "cli" | "system";
        /** @description A change of what a task says. */
        Amend: {
            /** @description What is merged into the task's `meta` (RFC 7396). */
            meta: {
                [key: string]: unknown;
            };
            /** @description Why. */
            reason?: string | null;
            /** @description For whom a program does it; recorded as claimed, not proven. */
            on_behalf_of?: string | null;
        };
        /** @description The values that a decision is bound to. */
        Binding: {
            /** @description `sha256:` and the SHA-256 of the JSON object `{path: value}`, in its canonical form (RFC 8785). */
            hash: string;
            /**
             * @description JSON pointers (RFC 6901) into the task.
             * @example [
             *       "/meta/amount"
             *     ]
             */
            paths: string[];
        };
        /** @description What a decision is bound to. */
        Bound: {
            /**
             * Format: int64
             * @description The version that was decided about.
             */
            version: number;
            /** @description `sha256:` and the SHA-256 of the JSON object `{path: value}`, in its canonical form (RFC 8785). */
            hash: string;
            /** @description JSON pointers (RFC 6901) into the task. */
            paths: string[];
        };
        /** @description A withdrawal. */
        Cancel: {
            /** @description Why. */
            reason?: string | null;
            /** @description For whom a program does it; recorded as claimed, not proven. */
            on_behalf_of?: string | null;
        };
        /** @description A value of a task that is another now. */
        ChangeSince: {
            /**
             * @description Where: a JSON pointer (RFC 6901) into the task.
             * @example /meta/amount
             */
            pointer: string;
            /** @description What was there; absent if nothing was. */
            from?: unknown;
            /** @description What is there now; absent if nothing is. */
            to?: unknown;
        };
        /** @description A conflict with the task as it stands, which comes with it where one is concerned. */
        ConflictProblem: {
            /**
             * @description What kind: stable, relative to this service.
             * @example /problems/invalid
             */
            type: string;
            /** @description The kind in words. */
            title: string;
            /**
             * Format: int32
             * @description The status code.
             */
            status: number;
            /** @description What is wrong this time. */
            detail: string;
            /**
             * @description The path that was asked for.
             * @example /api/v1/tasks
             */
            instance: string;
            /** @description Everything that is wrong with the body. */
            errors?: components["schemas"]["Invalid"][] | null;
        } & {
            current?: components["schemas"]["Task"] | null;
            decided_by?: components["schemas"]["Actor"] | null;
            /**
             * Format: date-time
             * @description When.
             */
            decided_at?: string | null;
            /** @description The states that it can go to from here. */
            allowed_transitions?: (string | null)[] | null;
            /** @description Only where the task has changed since `If-Match`: what is another now, without the version itself. */
            changes?: components["schemas"]["ChangeSince"][] | null;
            guard?: components["schemas"]["GuardRefusal"] | null;
        };
        /** @description A decision. */
        Decide: {
            /**
             * @description The state to move to; null is unset. May be absent only if the query has it.
             * @example allow
             */
            state?: string | null;
            /** @description The result: any JSON value that matches the type's `output` of that state. */
            output?: unknown;
            /** @description Why. */
            reason?: string | null;
            /** @description For whom a program decides; recorded as claimed, not proven. */
            on_behalf_of?: string | null;
        };
        /** @description A task after a decision. */
        Decided: {
            /** @description The task. */
            task: components["schemas"]["Task"];
        };
        /** @description A test that somebody sent to an endpoint: it tells of nothing. */
        EndpointTest: {
            /**
             * @description Tells it from an event.
             * @enum {string}
             */
            type: "endpoint.test";
            /**
             * Format: date-time
             * @description When it was sent.
             */
            timestamp: string;
            /** @description What it says. */
            data: components["schemas"]["EndpointTestData"];
        };
        /** @description What a test says. */
        EndpointTestData: {
            /**
             * Format: uuid
             * @description The endpoint that is tested.
             */
            endpoint_id: string;
            /** @description That it is a test. */
            message: string;
        };
        /** @description One event, in the envelope that its webhook has too. */
        Event: {
            /** @description What happened. */
            type: components["schemas"]["EventType"];
            /**
             * Format: date-time
             * @description When.
             */
            timestamp: string;
            /** @description The rest. */
            data: components["schemas"]["EventData"];
        };
        /**
         * @description What an event says. Events of a task carry it with its type; events of a schema its name; events of an endpoint
         *     or a delivery what concerns them.
         */
        EventData: {
            /**
             * Format: uuid
             * @description Deduplicate by this.
             */
            event_id: string;
            /**
             * Format: int64
             * @description Its place in the log: 1, 2, 3 ...
             */
            seq: number;
            /** @description Reading on after this event: pass it as `after`. */
            cursor: string;
            task?: components["schemas"]["EventTask"] | null;
            /** @description The task type's name. */
            ttype?: string | null;
            /** @description The task's state before it. */
            previous_state?: string | null;
            actor?: components["schemas"]["Actor"] | null;
            /** @description Why. */
            reason?: string | null;
            /** @description With which result. */
            output?: unknown;
            /** @description What was added to `meta`. */
            update_meta?: Record<string, unknown> | null;
            guard?: components["schemas"]["GuardPassed"] | null;
            bound?: components["schemas"]["Bound"] | null;
            /** @description The schema's name, in events of a schema. */
            schema?: string | null;
            /** @description The version, in events of a schema. */
            semver?: string | null;
            /** @description The endpoint, in events of one; its `url` is the origin alone. */
            endpoint?: Record<string, unknown> | null;
            /** @description The delivery, in `delivery.dead`. */
            delivery?: Record<string, unknown> | null;
            /** @description What a person said, in events of an endpoint. */
            message?: string | null;
        };
        /** @description A task as an event and a guard's question show it. */
        EventTask: {
            /**
             * Format: uuid
             * @description UUIDv7.
             */
            id: string;
            /**
             * Format: date-time
             * @description When it was posted.
             * @example 2026-11-21T10:00:00.000000Z
             */
            created: string;
            /**
             * Format: date-time
             * @description When it last changed.
             * @example 2026-11-21T10:00:00.000000Z
             */
            updated: string;
            /**
             * Format: uuid
             * @description Its type in the version that it was posted under.
             */
            ttype_id: string;
            /**
             * @description Its schema's name.
             * @example ti:sample
             */
            schema: string;
            /**
             * @description Its schema's version, as the author wrote it.
             * @example 1
             */
            semver: string;
            /** @description One of the type's states; null is unset. */
            state: string | null;
            /** @description Whether the state is a resolved one. */
            resolved: boolean;
            /** @description Where it is in its life. */
            phase: components["schemas"]["Phase"];
            /**
             * Format: uuid
             * @description The assignee.
             */
            user_id: string | null;
            /** @description What its sender said, as it was sent. */
            meta: {
                [key: string]: unknown;
            } | null;
            /** @description The result of the resolving decision. */
            output: unknown;
            /** @description The sender's own name for it. */
            external_id: string | null;
            /**
             * Format: int32
             * @description How urgent. Not available yet.
             */
            priority: number | null;
            /**
             * Format: date-time
             * @description When it should be decided. Not available yet.
             */
            due_at: string | null;
            /** @description Where else its events go. */
            callback_url: string | null;
            /** @description Of the tasks of a type that have the same key, the newest takes the place of the one that waits. */
            merge_key: string | null;
            /**
             * Format: date-time
             * @description When its time is over. Only while it waits, and if its type has `timeouts`.
             */
            expires_at?: string;
            /**
             * Format: uuid
             * @description The task whose place it took. Only if there is one.
             */
            supersedes?: string;
            /**
             * Format: uuid
             * @description The task that took its place. Only if there is one.
             */
            superseded_by?: string;
            /**
             * Format: int64
             * @description 1 when posted, +1 on each change; the `ETag`.
             */
            version: number;
        };
        /**
         * @description What an event is about.
         * @enum {string}
         */
        EventType: "task.created" | "task.state_changed" | "task.assigned" | "task.commented" | "task.due" | "task.escalated" | "task.cancelled" | "task.amended" | "task.expired" | "task.superseded" | "schema.version_created" | "schema.removed" | "endpoint.paused" | "endpoint.disabled" | "endpoint.recovered" | "delivery.dead";
        /** @description A cursor whose part of the log has been trimmed. */
        GoneProblem: {
            /**
             * @description What kind: stable, relative to this service.
             * @example /problems/invalid
             */
            type: string;
            /** @description The kind in words. */
            title: string;
            /**
             * Format: int32
             * @description The status code.
             */
            status: number;
            /** @description What is wrong this time. */
            detail: string;
            /**
             * @description The path that was asked for.
             * @example /api/v1/tasks
             */
            instance: string;
            /** @description Everything that is wrong with the body. */
            errors?: components["schemas"]["Invalid"][] | null;
        } & {
            /**
             * Format: int64
             * @description The last trimmed event's number.
             */
            floor: number;
            /** @description What is kept begins after this. */
            cursor: string;
        };
        /**
         * @description Why a guarded transition was let pass.
         * @enum {string}
         */
        GuardPassed: "allowed" | "unreachable";
        /** @description What a type's guard is asked before a decision is kept. The answer to this request is the verdict. */
        GuardQuestion: {
            /**
             * @description Tells it from an event.
             * @enum {string}
             */
            type: "task.guard";
            /**
             * Format: date-time
             * @description When it was asked.
             */
            timestamp: string;
            /** @description What is asked. */
            data: components["schemas"]["GuardQuestionData"];
        };
        /** @description Who wants to make what of which task. */
        GuardQuestionData: {
            /** @description The task as it stands. */
            task: components["schemas"]["EventTask"];
            /** @description The task type's name. */
            ttype: string;
            /** @description The wanted change of state. */
            transition: components["schemas"]["GuardTransition"];
            /** @description Who wants it. */
            actor: components["schemas"]["Actor"];
            /** @description Why. */
            reason: string | null;
            /** @description With which result. */
            output: unknown;
        };
        /** @description What the application server said when it refused. */
        GuardRefusal: {
            /** @description Why, in its words: at most 4096 characters, on one line. */
            reason: string | null;
        };
        /** @description A change of state; null is unset. */
        GuardTransition: {
            /** @description The task's state. */
            from: string | null;
            /** @description The wanted one. */
            to: string | null;
        };
        /** @description One thing that is wrong with a body. */
        Invalid: {
            /**
             * @description Where, as a JSON pointer (RFC 6901); empty is the whole body.
             * @example /meta/url
             */
            pointer: string;
            /**
             * @description What.
             * @example is required
             */
            detail: string;
        };
        /**
         * @description Where a task is in its life.
         * @enum {string}
         */
        Phase: "open" | "resolved" | "cancelled" | "expired" | "superseded";
        /** @description A task that is posted. */
        PostTask: {
            /**
             * @description The schema's name.
             * @example ti:sample
             */
            schema_name: string;
            /**
             * @description The task type's name in the schema's latest version.
             * @example flag-content
             */
            task: string;
            /**
             * @description The state that it begins in; absent: the type's initial state, which is unset if it
             *     declares none.
             */
            state?: string | null;
            /** @description What is to be decided about: any object of at most 256 KiB that matches the type's `input`. */
            meta?: {
                [key: string]: unknown;
            } | null;
            /**
             * @description The sender's own name for it, unique in its schema: posting the same content again gets
             *     the task that is there.
             */
            external_id?: string | null;
            /**
             * @description Where else the task's events go, by a host among the schema's `callback_hosts`; signed with the schema's key.
             * @example https://hooks.shop.example/order/4711
             */
            callback_url?: string | null;
            /**
             * @description Takes the place of the task of this type that waits under the same key; absent: what the type's `merge_key` finds
             *     in `meta`, if it declares one.
             */
            merge_key?: string | null;
        };
        /** @description An error (RFC 9457). */
        Problem: {
            /**
             * @description What kind: stable, relative to this service.
             * @example /problems/invalid
             */
            type: string;
            /** @description The kind in words. */
            title: string;
            /**
             * Format: int32
             * @description The status code.
             */
            status: number;
            /** @description What is wrong this time. */
            detail: string;
            /**
             * @description The path that was asked for.
             * @example /api/v1/tasks
             */
            instance: string;
            /** @description Everything that is wrong with the body. */
            errors?: components["schemas"]["Invalid"][] | null;
        };
        /** @description Something that a person must decide. */
        Task: {
            /**
             * Format: uuid
             * @description UUIDv7.
             */
            id: string;
            /**
             * Format: date-time
             * @description When it was posted.
             * @example 2026-11-21T10:00:00.000000Z
             */
            created: string;
            /**
             * Format: date-time
             * @description When it last changed.
             * @example 2026-11-21T10:00:00.000000Z
             */
            updated: string;
            /**
             * Format: uuid
             * @description Its type in the version that it was posted under.
             */
            ttype_id: string;
            /**
             * @description Its schema's name.
             * @example ti:sample
             */
            schema: string;
            /**
             * @description Its schema's version, as the author wrote it.
             * @example 1
             */
            semver: string;
            /** @description One of the type's states; null is unset. */
            state: string | null;
            /** @description Whether the state is a resolved one. */
            resolved: boolean;
            /** @description Where it is in its life. */
            phase: components["schemas"]["Phase"];
            /**
             * Format: uuid
             * @description The assignee.
             */
            user_id: string | null;
            /** @description What its sender said, as it was sent. */
            meta: {
                [key: string]: unknown;
            } | null;
            /** @description The result of the resolving decision. */
            output: unknown;
            /** @description The sender's own name for it. */
            external_id: string | null;
            /**
             * Format: int32
             * @description How urgent. Not available yet.
             */
            priority: number | null;
            /**
             * Format: date-time
             * @description When it should be decided. Not available yet.
             */
            due_at: string | null;
            /** @description Where else its events go. */
            callback_url: string | null;
            /** @description Of the tasks of a type that have the same key, the newest takes the place of the one that waits. */
            merge_key: string | null;
            /**
             * Format: date-time
             * @description When its time is over. Only while it waits, and if its type has `timeouts`.
             */
            expires_at?: string;
            /**
             * Format: uuid
             * @description The task whose place it took. Only if there is one.
             */
            supersedes?: string;
            /**
             * Format: uuid
             * @description The task that took its place. Only if there is one.
             */
            superseded_by?: string;
            /**
             * Format: int64
             * @description 1 when posted, +1 on each change; the `ETag`.
             */
            version: number;
            /** @description The states that it can go to from here; null is unset. In the API only. */
            allowed_transitions: (string | null)[];
            /** @description What a decision about it is bound to. In the API only, and only if its type declares `binds`. */
            binding?: components["schemas"]["Binding"];
        };
        /** @description A task with the name of its type. */
        TaskAnswer: {
            /** @description The task. */
            task: components["schemas"]["Task"];
            /**
             * @description Its type's name.
             * @example flag-content
             */
            ttype: string;
        };
        /** @description What a webhook may say: an event of the log, a guard's question, or a test. */
        WebhookEvent: components["schemas"]["Event"] | components["schemas"]["GuardQuestion"] | components["schemas"]["EndpointTest"];
    };
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type Actor = components['schemas']['Actor'];
export type ActorKind = components['schemas']['ActorKind'];
export type Amend = components['schemas']['Amend'];
export type Binding = components['schemas']['Binding'];
export type Bound = components['schemas']['Bound'];
export type Cancel = components['schemas']['Cancel'];
export type ChangeSince = components['schemas']['ChangeSince'];
export type ConflictProblem = components['schemas']['ConflictProblem'];
export type Decide = components['schemas']['Decide'];
export type Decided = components['schemas']['Decided'];
export type EndpointTest = components['schemas']['EndpointTest'];
export type EndpointTestData = components['schemas']['EndpointTestData'];
export type Event = components['schemas']['Event'];
export type EventData = components['schemas']['EventData'];
export type EventTask = components['schemas']['EventTask'];
export type EventType = components['schemas']['EventType'];
export type GoneProblem = components['schemas']['GoneProblem'];
export type GuardPassed = components['schemas']['GuardPassed'];
export type GuardQuestion = components['schemas']['GuardQuestion'];
export type GuardQuestionData = components['schemas']['GuardQuestionData'];
export type GuardRefusal = components['schemas']['GuardRefusal'];
export type GuardTransition = components['schemas']['GuardTransition'];
export type Invalid = components['schemas']['Invalid'];
export type Phase = components['schemas']['Phase'];
export type PostTask = components['schemas']['PostTask'];
export type Problem = components['schemas']['Problem'];
export type Task = components['schemas']['Task'];
export type TaskAnswer = components['schemas']['TaskAnswer'];
export type WebhookEvent = components['schemas']['WebhookEvent'];
export type $defs = Record<string, never>;
export type operations = Record<string, never>;
