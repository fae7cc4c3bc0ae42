/** One process of a hunt: simulates the seeds that it is sent, until its parent lets go of it. */
import type { HuntTask } from "./hunt.ts";
import { storyOf } from "./report.ts";
import { simulate } from "./simulation.ts";
import { reportOf } from "./totals.ts";

// Ctrl-C reaches the whole group: the parent decides, and wants the seed that is under way.
process.on("SIGINT", () => undefined);
process.on("disconnect", () => {
  process.exit(0);
});
process.on("message", (message) => {
  const { seed, mutation, world, lines } = message as HuntTask;
  void simulate({ seed, mutation, world }).then((result) => {
    const story = result.failure === undefined ? undefined : storyOf(result, lines);
    process.send?.(reportOf(result, story));
  });
});
