/** Chromium and Firefox as Debian has them: found, started with a new profile and no flag that changes how code runs, ended. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const BROWSERS = ["chromium", "firefox"] as const;
export type BrowserName = (typeof BROWSERS)[number];

const PACKAGES: Readonly<Record<BrowserName, string>> = { chromium: "chromium", firefox: "firefox-esr" };

/** What would use the machine or the network beside the page. */
const FIREFOX_OFF = [
  "app.normandy.enabled",
  "app.update.enabled",
  "browser.safebrowsing.malware.enabled",
  "browser.safebrowsing.phishing.enabled",
  "browser.shell.checkDefaultBrowser",
  "datareporting.policy.dataSubmissionEnabled",
  "network.captive-portal-service.enabled",
  "network.connectivity-service.enabled",
  "toolkit.telemetry.enabled",
];
const CHROMIUM_OFF = [
  ...["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
];

/** Debian's, or what `CHROMIUM` or `FIREFOX` names. */
export function findBrowser(name: BrowserName): { readonly path: string; readonly version: string } {
  const variable = name.toUpperCase();
  const path = process.env[variable] ?? `/usr/bin/${PACKAGES[name]}`;
  if (!existsSync(path)) {
    throw new Error(
      `There is no ${path}: apt-get install --no-install-recommends ${PACKAGES[name]}, or set ${variable} to its path.`,
    );
  }
  const { stdout } = spawnSync(path, ["--version"], { encoding: "utf8" });
  return { path, version: (stdout ?? "").trim() || "version unknown" };
}

/** Process groups of browsers that run: none of them outlives this process. */
const running = new Set<number>();
process.on("exit", endBrowsers);

/** Ends all of them at once; each that is waited for says that it has ended. */
export function endBrowsers(): void {
  for (const group of running) process.kill(-group, "SIGKILL");
}

/** A browser that shows one page. */
export class RunningBrowser implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #profile: string;
  /** Resolves when it has ended by itself or been ended, to the last that it wrote. */
  readonly ended: Promise<string>;

  private constructor(child: ChildProcess, profile: string) {
    this.#child = child;
    this.#profile = profile;
    let written = "";
    child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      written = (written + text).slice(-2000);
    });
    const { pid } = child;
    if (pid !== undefined) running.add(pid);
    this.ended = new Promise((resolve) => {
      child.once("error", (error) => resolve(error.message));
      child.once("exit", () => {
        running.delete(pid!);
        resolve(written);
      });
    });
  }

  static async open(name: BrowserName, address: string): Promise<RunningBrowser> {
    const profile = await mkdtemp(join(tmpdir(), "lastrow-page-"));
    const args = name === "chromium" ? await chromiumArgs(profile) : await firefoxArgs(profile);
    const child = spawn(findBrowser(name).path, [...args, address], {
      // A group of its own, so that all its processes can be ended together.
      ...{ stdio: ["ignore", "ignore", "pipe"], detached: true },
    });
    return new RunningBrowser(child, profile);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.pid !== undefined && this.#child.exitCode === null && this.#child.signalCode === null) {
      process.kill(-this.#child.pid, "SIGKILL");
    }
    await this.ended;
    await rm(this.#profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }
}

async function chromiumArgs(profile: string): Promise<string[]> {
  // A container's root user has no sandbox, and its /dev/shm is small.
  const container = ["--no-sandbox", "--disable-dev-shm-usage"];
  return ["--headless", "--disable-gpu", ...container, ...CHROMIUM_OFF, `--user-data-dir=${profile}`];
}

async function firefoxArgs(profile: string): Promise<string[]> {
  const lines = FIREFOX_OFF.map((name) => `user_pref("${name}", false);\n`);
  await writeFile(join(profile, "user.js"), lines.join(""));
  return ["--headless", "--no-remote", "--profile", profile];
}
