#include "objstore/xml.h"

#include <gtest/gtest.h>

namespace skald::objstore {
namespace {

TEST(Xml, ReadsNamesTextsAndEntities) {
  const XmlNode root = parse_xml(
      "\xef\xbb\xbf<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!-- x --><s3:Error xmlns:s3='http://x' a=\"1\">\n"
      "  <Code>No&lt;Such&#x41;&amp;</Code>\n  <Empty/><Key> </Key><Raw><![CDATA[a<b>&amp;]]></Raw>\n"
      "  <Contents><Key>1</Key></Contents><Contents><Key>2</Key></Contents></s3:Error>").value();
  EXPECT_EQ(root.name, "Error");
  EXPECT_EQ(root.child_text("Code"), "No<SuchA&");
  EXPECT_EQ(root.child_text("Empty"), "");
  EXPECT_NE(root.child("Empty"), nullptr);
  EXPECT_EQ(root.child("Absent"), nullptr);
  EXPECT_EQ(root.child_text("Key"), " ");
  EXPECT_EQ(root.child_text("Raw"), "a<b>&amp;");
  std::string keys;
  for (const XmlNode& node : root.children) {
    if (node.name == "Contents") keys += node.child_text("Key");
  }
  EXPECT_EQ(keys, "12");
}

TEST(Xml, RefusesWhatIsNotAWholeDocument) {
  const std::string whole = "<?xml version=\"1.0\"?><a><b>text</b><c x='1'/></a>";
  for (std::size_t keep = 0; keep < whole.size(); ++keep) {
    const Result<XmlNode> cut = parse_xml(std::string_view(whole).substr(0, keep));
    ASSERT_FALSE(cut.ok()) << keep;
    EXPECT_EQ(cut.error().code(), ErrorCode::kCorruption);
  }
  EXPECT_FALSE(parse_xml("plain text").ok());
  EXPECT_FALSE(parse_xml("{\"json\": true}").ok());
  EXPECT_FALSE(parse_xml("<a></b>").ok());
}

TEST(Xml, ExpandsNoEntitiesOfTheDocument) {
  const Result<XmlNode> root = parse_xml(
      "<!DOCTYPE a [<!ENTITY x \"boom\"><!ENTITY f SYSTEM \"file:///etc/passwd\">]><a>&x;&f;</a>");
  ASSERT_TRUE(root.ok()) << root.error().message();
  EXPECT_EQ(root->text, "&x;&f;");
}

TEST(Xml, BoundsDepthAndSize) {
  std::string deep, tail;
  for (std::size_t i = 0; i < kXmlDepthMax; ++i) {
    deep += "<a>";
    tail += "</a>";
  }
  EXPECT_TRUE(parse_xml(deep + tail).ok());
  EXPECT_FALSE(parse_xml("<a>" + deep + tail + "</a>").ok());
  std::string very_deep, very_tail;
  for (int i = 0; i < 200'000; ++i) {
    very_deep += "<a>";
    very_tail += "</a>";
  }
  EXPECT_FALSE(parse_xml(very_deep + very_tail).ok());
  EXPECT_FALSE(parse_xml("<a>" + std::string(kXmlBytesMax, 'x') + "</a>").ok());
}

TEST(Xml, EscapesSoThatItReadsBack) {
  const std::string text = "a&b<c>d\"e'f\rg\n\xc3\xa9 ]]>";
  EXPECT_EQ(parse_xml("<a>" + xml_escape(text) + "</a>").value().text, text);
}

}  // namespace
}  // namespace skald::objstore
