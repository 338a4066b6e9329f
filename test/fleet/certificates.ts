/** Certificates of a test: an authority, a server at 127.0.0.1 and a client that it vouches for, and a stranger. Made with openssl. */
import { execFileSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface Certificates extends AsyncDisposable {
  /** Files. */
  readonly authority: string;
  readonly stranger: string;
  readonly client: { readonly certFile: string; readonly keyFile: string };
  /** Options of redis-server for TLS at a port; a client may show a certificate. */
  serverOptions(port: number): string[];
}

const KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

export async function certificates(): Promise<Certificates> {
  const folder = await mkdtemp(join(tmpdir(), "lastrow-certificates-"));
  const file = (name: string) => join(folder, name);
  const openssl = (...args: string[]) => execFileSync("openssl", args, { stdio: "pipe" });
  for (const name of ["authority", "stranger"]) {
    openssl(
      ...["req", "-x509", ...KEY, "-days", "2", "-subj", `/CN=${name}`],
      ...["-keyout", file(`${name}.key`), "-out", file(`${name}.pem`)],
    );
  }
  for (const [name, alternative] of [
    ["server", "IP:127.0.0.1"],
    ["client", "DNS:client"],
  ]) {
    await writeFile(file(`${name}.ext`), `subjectAltName=${alternative}`);
    openssl(
      ...["req", ...KEY, "-subj", `/CN=${name}`, "-keyout", file(`${name}.key`), "-out", file(`${name}.csr`)],
    );
    openssl(
      ...["x509", "-req", "-in", file(`${name}.csr`), "-CA", file("authority.pem"), "-CAcreateserial"],
      ...["-CAkey", file("authority.key"), "-days", "2", "-extfile", file(`${name}.ext`)],
      ...["-out", file(`${name}.pem`)],
    );
  }
  return {
    authority: file("authority.pem"),
    stranger: file("stranger.pem"),
    client: { certFile: file("client.pem"), keyFile: file("client.key") },
    serverOptions: (port) => [
      ...["--tls-port", String(port), "--tls-cert-file", file("server.pem")],
      ...["--tls-key-file", file("server.key"), "--tls-ca-cert-file", file("authority.pem")],
      ...["--tls-auth-clients", "optional"],
    ],
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true }),
  };
}
