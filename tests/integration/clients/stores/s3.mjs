// The bucket through Amazon's own client: s3.mjs inspect|put ENDPOINT BUCKET KEY SECRET [prefix | key text]
import { S3Client, ListObjectsV2Command, GetObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { report } from './report.mjs';

const [action, endpoint, Bucket, accessKeyId, secretAccessKey, word = '', text = ''] = process.argv.slice(2);
const client = new S3Client({ endpoint, region: 'us-east-1', forcePathStyle: true, credentials: { accessKeyId, secretAccessKey } });
if (action === 'put') {
  await client.send(new PutObjectCommand({ Bucket, Key: word, Body: text }));
  console.log('{}');
} else {
  const found = [];
  let ContinuationToken;
  do {
    const page = await client.send(new ListObjectsV2Command({ Bucket, Prefix: word, ContinuationToken }));
    for (const o of page.Contents ?? []) found.push({ key: o.Key, size: o.Size });
    ContinuationToken = page.NextContinuationToken;
  } while (ContinuationToken);
  await report(found, async key => (await client.send(new GetObjectCommand({ Bucket, Key: key }))).Body.transformToByteArray());
}
