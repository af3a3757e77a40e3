// A real OpenID Connect provider (panva's) on 127.0.0.1, told by its standard input what it is to be.
// One line of JSON in: {"port", "jwks", "clients", "accounts", "alg"}; one line out when it listens: {"issuer"}. Ends with its input.
// A further line with some of these changes them: other "jwks" are a rotation of keys. {"served"} changes only what it shows for keys: any
// JSON or text, null for the real ones. Each line is answered when it holds. `GET /asked` counts how often keys were asked for.
// Its one argument is the folder of node_modules: modules of this kind are not found by NODE_PATH.

import { createServer } from 'node:http';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

console.info = console.error; // the library talks; standard output is for our answers
const library = pathToFileURL(join(process.argv[2], 'oidc-provider', 'lib', 'index.js')).href;
const { default: Provider } = await import(library);

let asked = 0;
let served = null;

function provider(issuer, { jwks, clients, accounts, alg }) {
  return new Provider(issuer, {
    jwks,
    clients,
    cookies: { keys: ['tests'] },
    pkce: { required: () => false },
    conformIdTokenClaims: false,
    claims: { openid: ['sub', 'name', 'email', 'email_verified', 'groups', 'realm_access', 'machines', 'preferred_username'] },
    enabledJWA: { idTokenSigningAlgValues: ['RS256', 'PS256', 'ES256', 'EdDSA', 'HS256', 'ES384'] },
    async findAccount(ctx, id) {
      return { accountId: id, claims: async () => ({ sub: id, ...accounts[id] }) };
    },
    async extraTokenClaims(ctx, token) {
      return token.accountId ? accounts[token.accountId] : { groups: ['robots'] };
    },
    features: {
      devInteractions: { enabled: true },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => undefined,
        useGrantedResource: () => true,
        getResourceServerInfo: (ctx, indicator) => ({
          scope: 'codewrap',
          audience: indicator,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg } },
        }),
      },
    },
    ttl: { IdToken: 600, AccessToken: 600, Interaction: 600, Session: 600, Grant: 600 },
  });
}

function answer(handle) {
  return (request, response) => {
    if (request.url === '/asked') return response.end(JSON.stringify({ asked }));
    if (request.url === '/jwks') {
      asked += 1;
      if (served !== null) return response.end(typeof served === 'string' ? served : JSON.stringify(served));
    }
    return handle(request, response);
  };
}

const server = createServer();
let settings = null;
let issuer = null;

for await (const line of createInterface({ input: process.stdin })) {
  const said = JSON.parse(line);
  if (settings === null) {
    settings = said;
    await new Promise((listening) => server.listen(said.port, '127.0.0.1', listening));
    issuer = `http://127.0.0.1:${server.address().port}`;
  } else if ('served' in said) {
    served = said.served;
  } else {
    settings = { ...settings, ...said };
  }
  server.removeAllListeners('request');
  server.on('request', answer(provider(issuer, settings).callback()));
  process.stdout.write(`${JSON.stringify({ issuer })}\n`);
}
process.exit(0);
