// The bucket through Google's own client: gcs.mjs inspect|put ENDPOINT BUCKET SERVICE_ACCOUNT_FILE [prefix | key text]
import fs from 'node:fs';
import jws from 'jws';
import { OAuth2Client } from 'google-auth-library';
import { Storage } from '@google-cloud/storage';
import { report } from './report.mjs';

const [action, apiEndpoint, bucketName, accountFile, word = '', text = ''] = process.argv.slice(2);
const account = JSON.parse(fs.readFileSync(accountFile));

// The library asks Google's own address for tokens, whatever token_uri says: the JWT is made here with Google's signer
// and handed to the emulator's endpoint.
const now = Math.floor(Date.now() / 1000);
const assertion = jws.sign({ header: { alg: 'RS256', typ: 'JWT' }, secret: account.private_key, payload: {
  iss: account.client_email, aud: account.token_uri, scope: 'https://www.googleapis.com/auth/devstorage.read_write', iat: now, exp: now + 3600 } });
const answer = await fetch(account.token_uri, { method: 'POST', body: new URLSearchParams({ grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', assertion }) });
const token = (await answer.json()).access_token;
const authClient = new OAuth2Client();
authClient.credentials = { access_token: token, expiry_date: Date.now() + 3600_000 };
const bucket = new Storage({ apiEndpoint, projectId: 'test', authClient, useAuthWithCustomEndpoint: true }).bucket(bucketName);
if (action === 'put') {
  await bucket.file(word).save(text, { resumable: false });
  console.log('{}');
} else {
  const [files] = await bucket.getFiles({ prefix: word });
  await report(files.map(f => ({ key: f.name, size: Number(f.metadata.size) })), async key => (await bucket.file(key).download())[0]);
}
