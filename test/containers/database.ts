/** The shards' databases, past the cluster. */
import pg from "pg";
import { PREPARED } from "../../demo/transfers/prepared.ts";

export async function withClient<Result>(
  url: string,
  work: (client: pg.Client) => Promise<Result>,
): Promise<Result> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

export function preparedGids(url: string): Promise<readonly string[]> {
  return withClient(url, async (client) => {
    const { rows } = await client.query<{ gid: string }>(PREPARED);
    return rows.map(({ gid }) => gid);
  });
}
