// Opens TLS connections to other members.

import { constants } from "node:crypto";
import { connect as connectPlain, isIP, type Socket } from "node:net";
import { checkServerIdentity, connect as connectTls } from "node:tls";
import type { Credentials } from "./credentials.ts";
import { nameRefusal } from "./peer-check.ts";

/** For the dialer of the peers: plain where the URL says http. `credentials`: undefined when there are none. */
export function connectWith(credentials: Credentials | undefined): (url: URL) => Socket {
  return (url) => {
    const host = url.hostname.replace(/^\[|\]$/g, "");
    const port = Number(url.port);
    if (url.protocol === "http:") return connectPlain({ host, port: port || 80, noDelay: true });
    if (credentials === undefined) throw new Error(`cannot reach ${url.href}: TLS is not set up for peers`);
    const { settings } = credentials;
    const { options } = credentials.current();
    return connectTls({
      ...options,
      secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
      host,
      port: port || 443,
      ...(isIP(host) === 0 ? { servername: host } : {}),
      rejectUnauthorized: !settings.isSelfSigned,
      checkServerIdentity(name, certificate) {
        const refusal = nameRefusal(certificate, settings);
        return refusal === undefined ? checkServerIdentity(name, certificate) : new Error(refusal);
      },
      ALPNProtocols: ["http/1.1"],
    });
  };
}
