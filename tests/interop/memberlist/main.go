// One member of a gossip cluster as Loki has it: Grafana's dskit over hashicorp/memberlist. Registers an instance in the
// ring "collectors/ring", writes the ring and the members to standard output as a JSON line whenever they change, and
// leaves when standard input ends. Used by tests/integration/test_memberlist_interop.py.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/go-kit/log"
	"github.com/grafana/dskit/flagext"
	"github.com/grafana/dskit/kv/codec"
	"github.com/grafana/dskit/kv/memberlist"
	"github.com/grafana/dskit/ring"
	"github.com/grafana/dskit/services"
	"github.com/prometheus/client_golang/prometheus"
)

const key = "collectors/ring"

type dns struct{}

func (dns) Resolve(context.Context, []string) error { return nil }
func (dns) Addresses() []string                     { return nil }

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	var cfg memberlist.KVConfig
	flagext.DefaultValues(&cfg)
	join := flag.String("join", "", "peers")
	id := flag.String("id", "go-1", "instance")
	label := flag.String("label", "", "cluster label")
	compress := flag.Bool("compress", true, "LZW")
	cert := flag.String("cert", "", "TLS certificate and authority; with -key")
	keyFile := flag.String("key", "", "TLS key")
	flag.Parse()

	cfg.TCPTransport.BindAddrs = flagext.StringSlice{"127.0.0.1"}
	cfg.TCPTransport.BindPort = 0
	cfg.NodeName = *id
	cfg.RandomizeNodeName = false
	cfg.ClusterLabel = *label
	cfg.EnableCompression = *compress
	cfg.StreamTimeout = 10 * time.Second
	cfg.LeaveTimeout = 5 * time.Second
	cfg.PushPullInterval = 2 * time.Second
	if *join != "" {
		cfg.JoinMembers = strings.Split(*join, ",")
	}
	if *cert != "" {
		cfg.TCPTransport.TLSEnabled = true
		cfg.TCPTransport.TLS.CertPath, cfg.TCPTransport.TLS.KeyPath, cfg.TCPTransport.TLS.CAPath = *cert, *keyFile, *cert
	}
	cfg.Codecs = []codec.Codec{ring.GetCodec()}

	ctx := context.Background()
	kv := memberlist.NewKV(cfg, log.NewLogfmtLogger(log.NewSyncWriter(os.Stderr)), dns{}, prometheus.NewRegistry())
	check(services.StartAndAwaitRunning(ctx, kv))
	client, err := memberlist.NewClient(kv, ring.GetCodec())
	check(err)
	fmt.Printf("PORT %d\n", kv.GetListeningPort())

	change := func(f func(*ring.Desc)) {
		check(client.CAS(ctx, key, func(in interface{}) (interface{}, bool, error) {
			desc, _ := in.(*ring.Desc)
			if desc == nil {
				desc = ring.NewDesc()
			}
			f(desc)
			return desc, true, nil
		}))
	}
	change(func(d *ring.Desc) {
		d.AddIngester(*id, "10.9.8.7:9095", "zone-go", []uint32{7, 70, 4294967295}, ring.ACTIVE, time.Now(), false, time.Time{}, nil)
	})

	// Asked for again and again: a watch says nothing until the next change.
	go func() {
		said := ""
		for ; ; time.Sleep(50 * time.Millisecond) {
			value, err := client.Get(ctx, key)
			desc, ok := value.(*ring.Desc)
			if err != nil || !ok || desc == nil {
				continue
			}
			instances := map[string]interface{}{}
			for name, one := range desc.Ingesters {
				instances[name] = map[string]interface{}{"addr": one.Addr, "zone": one.Zone, "state": one.State.String(), "tokens": one.Tokens}
			}
			if line, _ := json.Marshal(instances); string(line) != said {
				said = string(line)
				fmt.Printf("RING %s\n", said)
			}
		}
	}()

	_, _ = io.Copy(io.Discard, os.Stdin)
	change(func(d *ring.Desc) { d.RemoveIngester(*id) })
	check(services.StopAndAwaitTerminated(ctx, kv))
	fmt.Println("LEFT")
}
