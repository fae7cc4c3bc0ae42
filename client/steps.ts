/**
 * The steps of one interactive transaction: numbered, and sent one after the other, so that a step whose answer was lost is
 * sent again as it was and answered from memory. What is called while one runs waits its turn.
 */
import type { z } from "zod";
import type { Deadline } from "./backoff.ts";
import type { Call, Caller } from "./caller.ts";
import type { HttpRequest } from "./exchange.ts";

const MAX_WAITING_STEPS = 256;
/** By these the server says that it has not looked at a step. */
const NOT_LOOKED_AT = new Set(["no-quorum", "draining", "overloaded"]);

export class Steps {
  readonly #caller: Caller;
  readonly #deadline: Deadline;
  readonly #path: string;
  readonly #serverTimeMs: number;
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  #seq = 0;

  constructor(caller: Caller, transactionPath: string, deadline: Deadline) {
    this.#caller = caller;
    this.#deadline = deadline;
    this.#path = `${transactionPath}/statements`;
    this.#serverTimeMs = deadline.leftMs;
  }

  run<Answer>(step: object, schema: z.ZodType<Answer>): Promise<Answer> {
    if (this.#waiting >= MAX_WAITING_STEPS) {
      throw new RangeError(`more than ${MAX_WAITING_STEPS} steps of one transaction wait`);
    }
    this.#waiting += 1;
    const send = (): Promise<Answer> => this.#send(step, schema);
    const answer = this.#last.then(send, send).finally(() => {
      this.#waiting -= 1;
    });
    this.#last = answer;
    return answer;
  }

  #send<Answer>(step: object, schema: z.ZodType<Answer>): Promise<Answer> {
    this.#seq += 1;
    const body = JSON.stringify({ seq: this.#seq, ...step });
    const request = { method: "POST", path: this.#path, body } as const;
    let sent = 0;
    return this.#caller.run(
      {
        ...plainCall("statement", request, this.#serverTimeMs, schema),
        request: () => {
          sent += 1;
          return request;
        },
        // Sent again while its first sending still runs.
        isPassing: ({ code }) =>
          NOT_LOOKED_AT.has(code) || (code === "sequence-conflict" && sent > 1),
      },
      this.#deadline,
    );
  }
}

/** A call that may be repeated as it is, and whose loss leaves nothing behind that counts. */
export function plainCall<Answer>(
  name: Call<Answer>["name"],
  request: HttpRequest,
  serverTimeMs: number,
  schema: z.ZodType<Answer>,
): Call<Answer> {
  return {
    ...{ name, effect: "none", serverTimeMs },
    request: () => request,
    read: (body) => schema.parse(body),
  };
}
