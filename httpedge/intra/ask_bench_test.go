package intra

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/clock"
	"github.com/troupe-storage/troupe/objects/slab"
)

// What a small question costs from one goroutine to another and back, over mutual TLS
// and loopback, the node that is asked knowing too little to answer. Decision 009 has
// it beside a request over protoactor's remote.
//
//	go test ./httpedge/intra -run '^$' -bench Question -benchtime 2000x
func BenchmarkQuestion(b *testing.B) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		b.Fatal(err)
	}
	shown := []tls.Certificate{{Certificate: [][]byte{raw}, PrivateKey: private}}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: shown, ClientAuth: tls.RequireAnyClientCert})
	if err != nil {
		b.Fatal(err)
	}
	server := NewServer(ServerConfig{
		Gateway: new(gateway.Gateway), Peer: func(tls.ConnectionState) (string, error) { return "n1", nil }, Log: logrus.NewEntry(logrus.New()),
	})
	edge := &fasthttp.Server{Handler: server.Handle, StreamRequestBody: true}
	served := make(chan error)
	go func() { served <- edge.Serve(listener) }()
	slabs, err := slab.NewPool(1)
	if err != nil {
		b.Fatal(err)
	}
	road := NewRoad(Config{
		TLS:   func(string) *tls.Config { return &tls.Config{Certificates: shown, InsecureSkipVerify: true} }, // who answers is not what is measured
		Clock: clock.NewSystem(), Slabs: slabs,
	})
	defer func() {
		road.Close()
		if err := errors.Join(edge.Shutdown(), <-served, slabs.Close()); err != nil && !errors.Is(err, net.ErrClosed) {
			b.Error(err)
		}
	}()
	node := &messages.NodeView{ID: "n2", Intra: listener.Addr().String()}
	bucket := &objects.BucketDoc{Bucket: objects.Bucket{Name: "photos"}, Version: 7}
	ask := func() {
		var differs *messages.MapDiffers
		if err := road.Settled(node, bucket, []messages.Settlement{{Key: objects.Key{Name: "2026/11/cat.jpg"}}}); !errors.As(err, &differs) {
			b.Fatal(err)
		}
	}
	b.Run("one-at-a-time", func(b *testing.B) {
		for b.Loop() {
			ask()
		}
	})
	b.Run("side-by-side", func(b *testing.B) {
		b.SetParallelism(16)
		b.RunParallel(func(each *testing.PB) {
			for each.Next() {
				ask()
			}
		})
	})
}
