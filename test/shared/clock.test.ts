import { systemClock, systemRandom } from "../../shared/runtime/clock.ts";

test("a task runs once, and never before its delay has passed", async () => {
  const early: number[] = [];
  const delays = Array.from({ length: 200 }, (_, index) => (index % 20) + index / 200);
  await Promise.all(
    delays.map(
      (delayMs) =>
        new Promise<void>((resolve) => {
          const from = systemClock.monotonicMs();
          systemClock.after(delayMs, () => {
            const passedMs = systemClock.monotonicMs() - from;
            if (passedMs < delayMs) early.push(delayMs - passedMs);
            resolve();
          });
        }),
    ),
  );
  expect(early).toEqual([]);
});

test("a cancelled task does not run, and cancelling twice or late does nothing", async () => {
  const ran: string[] = [];
  const cancel = systemClock.after(5, () => ran.push("cancelled"));
  cancel();
  cancel();
  const late = await new Promise<() => void>((resolve) => {
    const cancelLate = systemClock.after(20, () => {
      ran.push("kept");
      resolve(cancelLate);
    });
  });
  late();
  expect(ran).toEqual(["kept"]);
});

test("soon comes after what is already queued in this tick", async () => {
  const order: string[] = [];
  await new Promise<void>((resolve) => {
    systemClock.soon(() => {
      order.push("soon");
      resolve();
    });
    queueMicrotask(() => order.push("microtask"));
    process.nextTick(() => order.push("next tick"));
    order.push("now");
  });
  expect(order).toHaveLength(4);
  expect(order[0]).toBe("now");
  expect(order[3]).toBe("soon");
});

test.each([NaN, Infinity, 2 ** 31])(
  "a delay of %p is refused instead of firing at once",
  (delayMs) => {
    expect(() => systemClock.after(delayMs, () => undefined)).toThrow("a delay is a number");
  },
);

test("random integers cover their range, and tokens their alphabet and length", () => {
  const integers = new Set(Array.from({ length: 500 }, () => systemRandom.integer(4)));
  expect([...integers].sort()).toEqual([0, 1, 2, 3]);
  const token = systemRandom.token(5_000);
  expect(token).toMatch(/^[a-z0-9]{5000}$/);
  expect(new Set(token).size).toBe(36);
  expect(systemRandom.token(20)).not.toBe(systemRandom.token(20));
});
