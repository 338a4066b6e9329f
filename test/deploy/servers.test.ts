/**
 * What the files of deploy/ say of servers, beside the code: options, names, ports, probes, times and rights. Whoever renames
 * one of them breaks a test here.
 */
import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { LIMITS } from "../../src/server/limits.js";
import { served } from "../server/served.js";
import {
  containerOf,
  kubernetes,
  optionsOf,
  read,
  serveOptions,
  servers,
  unitCommand,
  type Yaml,
  yaml,
} from "./deploy-files.js";

const [compose] = yaml("compose.yaml");
const proxy = read("haproxy/haproxy.cfg");
/** Names of the server lines of HAProxy, each with the address that it has by itself. */
const lines = [...proxy.matchAll(/^ {2}server (\S+) "\$\{(\w+)-(\S+)\}"(.*)$/gm)].map(
  ([, name, variable, address, rest]) => ({ name, variable, address, rest }),
);
const names = ["lastrow-0", "lastrow-1", "lastrow-2"];

test("every option that a server is started with is one of `lastrow serve`", async () => {
  const known = await serveOptions();
  for (const { by, options } of servers()) {
    expect(
      [...options.keys()].filter((option) => !known.has(option)),
      by,
    ).toEqual([]);
    // What a fleet needs of each.
    for (const option of ["--instance", "--api-keys", "--tier", "--tier-key-file", "--tier-password-file"]) {
      expect(options.has(option), `${by} ${option}`).toBe(true);
    }
  }
  expect(servers()).toHaveLength(5);
});

test("HAProxy calls servers by their --instance, in both of its lists, and finds them at their ports", () => {
  expect(lines.map(({ name }) => name)).toEqual([...names, ...names]);
  for (const [i, { name, variable, address, rest }] of lines.entries()) {
    expect(variable).toBe(`LASTROW_${i % 3}`);
    // As the unit of systemd listens.
    expect(address).toBe(`127.0.0.1:900${i % 3}`);
    if (i >= 3) expect(rest).toBe(` track any-server/${name}`);
  }
  const unit = optionsOf(unitCommand());
  expect(unit.get("--instance")).toBe("lastrow-%i");
  expect(unit.get("--port")).toBe("900%i");

  const { environment } = compose.services.haproxy;
  const scraped = yaml("prometheus/prometheus.yml")[0].scrape_configs[0].static_configs[0].targets;
  for (const [i, name] of names.entries()) {
    const options = optionsOf(compose.services[name].command);
    expect(options.get("--instance")).toBe(name);
    const address = `${name}:${options.get("--port")}`;
    expect(environment[`LASTROW_${i}`]).toBe(address);
    expect(scraped[i]).toBe(address);
    // Prometheus asks for it by that name.
    expect(options.get("--allow-host")).toBe(name);
  }
  expect(scraped).toHaveLength(names.length);

  const set = kubernetes("lastrow", "StatefulSet");
  const service = kubernetes("lastrow", "Service");
  const container = containerOf(set);
  const [port] = container.ports;
  expect(optionsOf(container.args).get("--port")).toBe(String(port.containerPort));
  expect(optionsOf(container.args).get("--instance")).toBe("$(POD_NAME)");
  expect(set.spec.replicas).toBe(names.length);
  expect(set.spec.serviceName).toBe(service.metadata.name);
  expect(service.spec.ports[0]).toMatchObject({ port: port.containerPort, targetPort: port.name });
  const { env } = containerOf(kubernetes("haproxy", "Deployment"));
  for (const [i, name] of names.entries()) {
    const value = `${name}.${service.metadata.name}.${service.metadata.namespace}.svc.cluster.local:${port.containerPort}`;
    expect(env).toContainEqual({ name: `LASTROW_${i}`, value });
  }
});

test("what counts the servers scales the set, between those that an alert asks for and those that the proxy knows", () => {
  const [{ metadata, spec }] = yaml("keda/scaled-object.yaml");
  const set = kubernetes("lastrow", "StatefulSet");
  expect({ kind: set.kind, name: set.metadata.name }).toEqual(spec.scaleTargetRef);
  expect(metadata.namespace).toBe(set.metadata.namespace);
  expect([spec.maxReplicaCount, spec.fallback.replicas]).toEqual([names.length, names.length]);
  const rules: Yaml[] = yaml("prometheus/alerts.yml")[0].groups.flatMap(({ rules }: Yaml) => rules);
  const { expr } = rules.find(({ alert }) => alert === "LastrowFewServers")!;
  expect(spec.minReplicaCount).toBe(Number(/< (\d+)$/.exec(expr)![1]));
});

test("the image listens, and runs as whom the files say", () => {
  const dockerfile = readFileSync(new URL("../../Dockerfile", import.meta.url), "utf8");
  expect(dockerfile).toContain('"serve"]');
  expect(dockerfile).toContain("USER node\n");
  const { spec } = kubernetes("lastrow", "StatefulSet").spec.template;
  // `node` of the image.
  expect(spec.securityContext).toMatchObject({ runAsNonRoot: true, runAsUser: 1000 });
  const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
  expect(spec.containers[0].image).toBe(`lastrow:${version}`);
});

test("probes are answered without a key, scrapes with one", async () => {
  const folder = await mkdtemp(join(tmpdir(), "lastrow-deploy-"));
  const apiKeys = join(folder, "api-keys");
  await writeFile(apiKeys, "prometheus sk-prometheus-0123456789\n");
  await using api = await served({ apiKeys });
  await rm(folder, { recursive: true });
  const { startupProbe, livenessProbe, readinessProbe } = containerOf(kubernetes("lastrow", "StatefulSet"));
  const asked = [startupProbe, livenessProbe, readinessProbe].map(({ httpGet }) => httpGet.path);
  const ofProxy = containerOf(kubernetes("haproxy", "Deployment")).readinessProbe.httpGet.path;
  const [, ofCheck] = /http-check send meth GET uri (\S+)/.exec(proxy)!;
  expect(livenessProbe.httpGet.path).not.toBe(readinessProbe.httpGet.path);
  for (const path of [...asked, ofProxy, ofCheck]) expect((await api.get(path)).status, path).toBe(200);
  const [{ authorization, metrics_path = "/metrics" }] = yaml("prometheus/prometheus.yml")[0].scrape_configs;
  expect(authorization.credentials_file).toBe("/run/secrets/metrics-key");
  const key = { authorization: "Bearer sk-prometheus-0123456789" };
  expect((await api.get(metrics_path, key)).status).toBe(200);
});

test("whoever ends a server waits longer than it takes to finish", () => {
  const seconds = (text: string) => Number(/^(\d+)s?$/.exec(text)![1]);
  const drain = (options: Map<string, string>) => Number(options.get("--drain-seconds"));
  for (const name of names) {
    const { stop_grace_period, command } = compose.services[name];
    expect(seconds(stop_grace_period)).toBeGreaterThan(drain(optionsOf(command)));
  }
  const [, stop] = /^TimeoutStopSec=(\d+)$/m.exec(read("systemd/lastrow@.service"))!;
  expect(Number(stop)).toBeGreaterThan(drain(optionsOf(unitCommand())));
  const { spec } = kubernetes("lastrow", "StatefulSet").spec.template;
  const { args, lifecycle } = spec.containers[0];
  const [command, pause] = lifecycle.preStop.exec.command;
  expect(command).toBe("sleep");
  expect(spec.terminationGracePeriodSeconds).toBeGreaterThan(Number(pause) + drain(optionsOf(args)));
});

test("HAProxy waits as long as a server may take, and a proxy that goes waits for its answers", () => {
  const timeout = (name: string) => Number(new RegExp(`^ {2}timeout ${name} (\\d+)s$`, "m").exec(proxy)![1]);
  const limit = (key: keyof typeof LIMITS) => LIMITS[key].default!;
  expect(timeout("server")).toBeGreaterThan(limit("requestSeconds"));
  expect(timeout("client")).toBeGreaterThan(limit("requestSeconds"));
  expect(timeout("http-request")).toBeGreaterThanOrEqual(limit("headerSeconds") + limit("bodySeconds"));
  const { spec } = kubernetes("haproxy", "Deployment").spec.template;
  expect(spec.terminationGracePeriodSeconds).toBeGreaterThanOrEqual(timeout("server"));
});

test("memory that is promised is memory that is allowed, and what a server takes for K and V fits", () => {
  const bytes = (text: string) => Number.parseInt(text, 10) * 2 ** 30;
  for (const name of names) {
    const { mem_limit, mem_reservation, command } = compose.services[name];
    expect(mem_limit).toBe(mem_reservation);
    expect(bytes(optionsOf(command).get("--kv-memory")!)).toBeLessThan(bytes(mem_limit));
  }
  for (const [file, kind] of [
    ["lastrow", "StatefulSet"],
    ["haproxy", "Deployment"],
    ["valkey", "Deployment"],
  ]) {
    const { requests, limits } = containerOf(kubernetes(file, kind)).resources;
    expect(requests.memory, file).toBe(limits.memory);
  }
  const maxmemory = bytes(/^maxmemory (\d+)gb$/m.exec(read("valkey/valkey.conf"))![1]);
  expect(bytes(containerOf(kubernetes("valkey", "Deployment")).resources.limits.memory)).toBeGreaterThan(
    maxmemory,
  );
  expect(bytes(compose.services.valkey.mem_limit)).toBeGreaterThan(maxmemory);
});

/** Files that options name. */
const filesOf = (options: Map<string, string>) =>
  [...options].filter(([name]) => name === "--api-keys" || name.endsWith("-file")).map(([, file]) => file);

test("secrets are files that are there, and none is in an option", () => {
  for (const { by, options } of servers()) {
    const url = new URL(options.get("--tier")!);
    expect(url.password, by).toBe("");
    expect(url.username, by).toBe("lastrow");
    expect(filesOf(options).length, by).toBeGreaterThanOrEqual(3);
  }
  for (const name of names) {
    const { command, secrets } = compose.services[name];
    for (const file of filesOf(optionsOf(command))) {
      const [, secret] = /^\/run\/secrets\/(.+)$/.exec(file)!;
      expect(secrets).toContain(secret);
    }
  }
  for (const { secrets = [] } of Object.values<Yaml>(compose.services)) {
    for (const secret of secrets) expect(compose.secrets).toHaveProperty([secret]);
  }
  const unit = read("systemd/lastrow@.service");
  for (const file of filesOf(optionsOf(unitCommand()))) {
    // biome-ignore lint/suspicious/noTemplateCurlyInString: as systemd writes it
    expect(unit).toContain(`LoadCredential=${file.replace("${CREDENTIALS_DIRECTORY}/", "")}:`);
  }
  const { volumeMounts, args } = containerOf(kubernetes("lastrow", "StatefulSet"));
  for (const file of filesOf(optionsOf(args))) {
    // Without subPath it is a link, which is not read.
    const subPath = file.replace("/secrets/", "");
    expect(volumeMounts).toContainEqual({ name: "secrets", mountPath: file, subPath, readOnly: true });
  }
});

test("objects of Kubernetes find each other, and only who has to reaches a server or the store", () => {
  const named = (file: string, kind: string) => kubernetes(file, kind).spec;
  for (const [file, kind] of [
    ["lastrow", "StatefulSet"],
    ["haproxy", "Deployment"],
    ["valkey", "Deployment"],
  ]) {
    const { selector, template } = named(file, kind);
    expect(template.metadata.labels).toEqual(selector.matchLabels);
    expect(named(file, "Service").selector).toEqual(selector.matchLabels);
    const [{ containers, securityContext }] = [template.spec];
    expect(securityContext.runAsNonRoot).toBe(true);
    for (const container of containers) {
      expect(container.securityContext).toEqual({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ["ALL"] },
      });
      const ports = container.ports.map(({ name }: Yaml) => name);
      for (const { targetPort } of named(file, "Service").ports) expect(ports).toContain(targetPort);
      for (const probe of ["startupProbe", "livenessProbe", "readinessProbe"]) {
        const { httpGet, tcpSocket } = container[probe] ?? {};
        if (container[probe] !== undefined) expect(ports).toContain((httpGet ?? tcpSocket).port);
      }
      const volumes = template.spec.volumes.map(({ name }: Yaml) => name);
      for (const { name } of container.volumeMounts) expect(volumes).toContain(name);
    }
  }
  for (const file of ["lastrow", "haproxy"]) {
    expect(named(file, "PodDisruptionBudget").selector.matchLabels).toEqual({ app: file });
  }
  const tier = new URL(optionsOf(containerOf(kubernetes("lastrow", "StatefulSet")).args).get("--tier")!);
  const service = kubernetes("valkey", "Service");
  expect(tier.host).toBe(
    `${service.metadata.name}.${service.metadata.namespace}.svc.cluster.local:${service.spec.ports[0].port}`,
  );
  const policy = named("valkey", "NetworkPolicy");
  expect(policy.ingress).toEqual([
    { from: [{ podSelector: { matchLabels: { app: "lastrow" } } }], ports: [{ port: Number(tier.port) }] },
  ]);
  const [toStore] = named("lastrow", "NetworkPolicy").egress;
  expect(toStore).toEqual({
    to: [{ podSelector: policy.podSelector }],
    ports: [{ port: Number(tier.port) }],
  });
  expect(read("valkey/valkey.conf")).toContain(`\nport 0\ntls-port ${tier.port}\n`);
});

test("of compose, only the proxy and Grafana are reached from outside, and the store from the servers alone", () => {
  const services = Object.entries<Yaml>(compose.services);
  const published = services.filter(([, { ports }]) => ports !== undefined).map(([name]) => name);
  expect(published).toEqual(["haproxy", "grafana"]);
  for (const [, { ports = [] }] of services) for (const port of ports) expect(port).toMatch(/^127\.0\.0\.1:/);
  expect(compose.networks.cache).toEqual({ internal: true });
  const reach = services.filter(([, { networks }]) => networks.includes("cache")).map(([name]) => name);
  expect(reach).toEqual([...names, "valkey"]);
  const tier = new URL(optionsOf(compose.services["lastrow-0"].command).get("--tier")!);
  expect(tier.hostname).toBe("valkey");
  expect(read("valkey/valkey.conf")).toContain(`\ntls-port ${tier.port}\n`);
});
