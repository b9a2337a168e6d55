#include "objstore/s3_answers.h"

#include <gtest/gtest.h>

#include "objstore/xml.h"

namespace skald::objstore {
namespace {

TEST(S3Answers, ReadsListings) {
  const ListPage page = parse_s3_list(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name><EncodingType>url</EncodingType>"
      "<Contents><Key>z%26%2B+%C3%BC</Key><LastModified>x</LastModified><Size>12</Size></Contents>"
      "<Contents><Key>a</Key><Size>0</Size></Contents><Contents><Key>made/by/console/</Key><Size>0</Size></Contents>"
      "<CommonPrefixes><Prefix>t%2B1/</Prefix></CommonPrefixes><CommonPrefixes><Prefix>s/</Prefix></CommonPrefixes>"
      "<IsTruncated>true</IsTruncated><NextContinuationToken>1/a+b=</NextContinuationToken></ListBucketResult>").value();
  ASSERT_EQ(page.objects.size(), 2U);
  EXPECT_EQ(page.objects[0].key, "a");
  EXPECT_EQ(page.objects[1].key, "z&+ ü");
  EXPECT_EQ(page.objects[1].size, 12U);
  EXPECT_EQ(page.folders, (std::vector<std::string>{"s/", "t+1/"}));
  EXPECT_EQ(page.next, "1/a+b=");
  // A store that does not know encoding-type says so by leaving it out.
  EXPECT_EQ(parse_s3_list("<ListBucketResult><Contents><Key>a+%41&amp;</Key><Size>1</Size></Contents></ListBucketResult>").value().objects.at(0).key, "a+%41&");
}

TEST(S3Answers, RefusesListingsThatMakeNoSense) {
  for (const char* xml : {"", "<Other/>", "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
                          "<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>", "<ListBucketResult><Contents><Size>1</Size></Contents></ListBucketResult>",
                          "<ListBucketResult><Contents><Key>a</Key><Size>-1</Size></Contents></ListBucketResult>",
                          "<ListBucketResult><Contents><Key>a</Key><Size>1x</Size></Contents></ListBucketResult>",
                          "<ListBucketResult><CommonPrefixes/></ListBucketResult>"}) {
    EXPECT_EQ(parse_s3_list(xml).error().code(), ErrorCode::kCorruption) << xml;
  }
}

TEST(S3Answers, ReadsFaultsWithAndWithoutADocument) {
  const auto fault_of = [](int status, std::string body, std::vector<http::Header> headers = {}) {
    return read_s3_fault({.status = status, .headers = std::move(headers), .body = std::move(body)});
  };
  const S3Fault fault = fault_of(301, "<Error><Code>PermanentRedirect</Code><Message>m &amp; n</Message><Endpoint>e</Endpoint></Error>", {{"X-Amz-Bucket-Region", "eu-west-1"}});
  EXPECT_EQ(fault.code + "|" + fault.message + "|" + fault.endpoint + "|" + fault.region, "PermanentRedirect|m & n|e|eu-west-1");
  EXPECT_EQ(fault_of(400, "<Error><Code>AuthorizationHeaderMalformed</Code><Region>garage</Region></Error>").region, "garage");
  EXPECT_EQ(fault_of(403, "<ErrorResponse><Error><Code>ExpiredToken</Code></Error></ErrorResponse>").code, "ExpiredToken");
  EXPECT_EQ(fault_of(404, "").code, "NoSuchKey");
  EXPECT_EQ(fault_of(403, "<html>").code, "AccessDenied");
  EXPECT_EQ(fault_of(418, "teapot").code, "");
}

TEST(S3Answers, WritesRequestsThatReadBack) {
  const XmlNode complete = parse_xml(s3_complete_request({{"\"a\"", ""}, {"b", "crc="}})).value();
  ASSERT_EQ(complete.children.size(), 2U);
  EXPECT_EQ(complete.children[0].child_text("ETag"), "\"a\"");
  EXPECT_EQ(complete.children[0].child("ChecksumCRC32C"), nullptr);
  EXPECT_EQ(complete.children[1].child_text("PartNumber"), "2");
  EXPECT_EQ(complete.children[1].child_text("ChecksumCRC32C"), "crc=");
  const XmlNode remove = parse_xml(s3_delete_request({"a&b", " <c>"})).value();
  EXPECT_EQ(remove.children.at(1).child_text("Key"), "a&b");
  EXPECT_EQ(remove.children.at(2).child_text("Key"), " <c>");
  EXPECT_FALSE(can_be_in_xml("a\nb"));
  EXPECT_TRUE(can_be_in_xml("ü <&>"));
  EXPECT_EQ(parse_s3_upload_id("<InitiateMultipartUploadResult><UploadId>x</UploadId></InitiateMultipartUploadResult>").value(), "x");
  EXPECT_FALSE(parse_s3_upload_id("<InitiateMultipartUploadResult/>").ok());
  EXPECT_FALSE(parse_s3_delete("<Error/>").ok());
}

}  // namespace
}  // namespace skald::objstore
