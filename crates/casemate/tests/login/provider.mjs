// A certified OpenID provider (npm's `oidc-provider`) for one test: on a port that the system chooses, with people who
// need no password. It says where it listens and goes on until its stdin ends.

import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';

const { default: Provider } = await import(process.argv[2]);

const GROUPS = { alice: ['operators'], olga: ['owners'], dave: ['developers'], mallory: ['guests'] };
const DEVICE = 'urn:ietf:params:oauth:grant-type:device_code';

const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' });
  const client = (client_id) => ({
    client_id,
    application_type: 'native',
    token_endpoint_auth_method: 'none',
    grant_types: ['authorization_code', DEVICE],
    response_types: ['code'],
    redirect_uris: ['http://127.0.0.1/callback'],
    id_token_signed_response_alg: 'ES256',
  });
  const provider = new Provider(issuer, {
    clients: ['casemate', 'other', 'brief'].map(client),
    jwks: { keys: [{ ...key, kid: 'one', use: 'sig', alg: 'ES256' }] },
    cookies: { keys: ['only-for-a-test'] },
    claims: { openid: ['sub', 'groups'] },
    conformIdTokenClaims: false,
    findAccount: (_, sub) => ({ accountId: sub, claims: async () => ({ sub, groups: GROUPS[sub] }) }),
    ttl: { DeviceCode: (_, __, client) => (client.clientId === 'brief' ? 3 : 600) },
    features: {
      deviceFlow: { enabled: true },
      devInteractions: { enabled: true },
      // Access tokens that look as much like ID tokens as they may: JWTs for the same audience, by the same key.
      resourceIndicators: {
        enabled: true,
        defaultResource: () => 'urn:casemate',
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          scope: '',
          audience: 'casemate',
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: 'ES256' } },
        }),
      },
    },
  });
  server.on('request', provider.callback());
  console.log(JSON.stringify({ issuer }));
});
process.stdin.resume().on('end', () => process.exit(0));
