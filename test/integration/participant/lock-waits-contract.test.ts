import { testLockWaitsContract } from "../../participant/lock-waits-contract.ts";
import { createShard, openShard } from "./postgres-fixture.ts";

testLockWaitsContract(async () => {
  const { shard, url, close } = await createShard();
  const other = openShard(url);
  return {
    shard,
    other,
    close: async () => {
      await other.close();
      await close();
    },
  };
});
