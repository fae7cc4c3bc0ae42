import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { X509Certificate } from "node:crypto";
import { Writable } from "node:stream";
import { Command } from "commander";
import { addCertificateCommands } from "../../client/commands/certificates.ts";
import { UsageError } from "../../client/commands/failure.ts";
import { Output } from "../../client/commands/output.ts";

const home = mkdtempSync(join(tmpdir(), "synod-cert-"));
const dir = join(home, "certs");

afterAll(() => {
  rmSync(home, { recursive: true, force: true });
});

async function synod(...words: readonly string[]): Promise<void> {
  const nowhere = new Writable({
    write: (_, __, done) => {
      done();
    },
  });
  const program = new Command("synod")
    .exitOverride()
    .configureOutput({ writeErr: () => undefined });
  addCertificateCommands(program, new Output({ out: nowhere, err: nowhere }, {}));
  await program.parseAsync(["cert", ...words, "--dir", dir], { from: "user" });
}

const read = (name: string): X509Certificate =>
  new X509Certificate(readFileSync(join(dir, `${name}.pem`)));

test("an authority signs certificates that name a node and its hosts; its files are for their owner alone", async () => {
  await synod("init", "--cluster", "shop");
  await synod("issue", "coordinator/3", "--host", "10.0.0.1", "--host", "synod.internal");
  expect(readdirSync(dir).sort()).toEqual([
    ...["ca-key.pem", "ca.pem", "coordinator-3-key.pem", "coordinator-3.pem"],
  ]);
  const [ca, node] = [read("ca"), read("coordinator-3")];
  expect([ca.ca, node.ca, node.verify(ca.publicKey)]).toEqual([true, false, true]);
  expect(node.subjectAltName).toBe(
    "URI:synod://shop/coordinator/3, IP Address:10.0.0.1, DNS:synod.internal",
  );
  const modes = readdirSync(dir).map((file) => statSync(join(dir, file)).mode & 0o777);
  expect(modes).toEqual(modes.map(() => 0o600));
});

test("nothing is replaced without --force", async () => {
  const before = read("coordinator-3").serialNumber;
  const again = ["issue", "coordinator/3"];
  await expect(synod(...again)).rejects.toThrow(UsageError);
  await expect(synod("init", "--cluster", "shop")).rejects.toThrow("exists already");
  expect(read("coordinator-3").serialNumber).toBe(before);
  await synod(...again, "--force");
  expect(read("coordinator-3").serialNumber).not.toBe(before);
});

test.each(["client/1", "coordinator/0", "coordinator/1024", "participant/a b", "participant/s1/x"])(
  "%s is no node, and gets no certificate",
  async (name) => {
    await expect(synod("issue", name)).rejects.toThrow("It must be coordinator/");
  },
);
