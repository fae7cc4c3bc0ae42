import fc from "fast-check";
import { Queue } from "../../coordinator/transactions/ledger/queue.ts";

test("gives back what was put in, in that order, whatever is put in and taken between", () => {
  const actions = fc.array(fc.oneof(fc.constant("shift" as const), fc.integer()), {
    maxLength: 200,
  });
  fc.assert(
    fc.property(actions, (list) => {
      const queue = new Queue<number>();
      const expected: number[] = [];
      for (const action of list) {
        if (action !== "shift") {
          queue.push(action);
          expected.push(action);
        } else if (expected.length > 0) {
          queue.shift();
          expected.shift();
        }
        expect(queue.first).toBe(expected[0]);
      }
    }),
  );
});
