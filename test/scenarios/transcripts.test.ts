/**
 * Golden transcripts (`*.txt` beside this file): what the core does, command by command. When it is meant to do something
 * else from now on, `npm run scenarios -- --rewrite` rewrites them, and the difference is what a reviewer reads.
 */
import { performed, transcriptNames } from "./transcripts/transcript.ts";

test.each(transcriptNames())("%s says what the core does", (name) => {
  const { is, shouldBe } = performed(name);
  expect(is).toBe(shouldBe);
});
