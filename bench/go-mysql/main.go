// The peer of bench/binlog.ts: go-mysql reads a stretch of a binlog once, decoding all row events, or with a filter
// those of one table only. Prints how many row images of that table it saw, and in how many milliseconds.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"
)

func number(text string) int {
	value, err := strconv.Atoi(text)
	if err != nil {
		panic(err)
	}
	return value
}

func main() {
	port, file, position, endFile, endPosition := number(os.Args[1]), os.Args[2], number(os.Args[3]), os.Args[4], number(os.Args[5])
	schema, table, mode, user, password := os.Args[6], os.Args[7], os.Args[8], os.Args[9], os.Args[10]
	wanted := func(t *replication.TableMapEvent) bool {
		return t != nil && string(t.Schema) == schema && string(t.Table) == table
	}
	config := replication.BinlogSyncerConfig{
		ServerID: 777, Flavor: "mysql", Host: "127.0.0.1", Port: uint16(port), User: user, Password: password,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), EventCacheCount: 10240,
	}
	if mode == "filtered" {
		config.RowsEventDecodeFunc = func(e *replication.RowsEvent, data []byte) error {
			pos, err := e.DecodeHeader(data)
			if err != nil || !wanted(e.Table) {
				return err
			}
			return e.DecodeData(pos, data)
		}
	}
	began := time.Now()
	syncer := replication.NewBinlogSyncer(config)
	streamer, err := syncer.StartSync(mysql.Position{Name: file, Pos: uint32(position)})
	if err != nil {
		panic(err)
	}
	images, current := 0, file
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		event, err := streamer.GetEvent(ctx)
		cancel()
		if err != nil {
			panic(err)
		}
		switch e := event.Event.(type) {
		case *replication.RowsEvent:
			if wanted(e.Table) {
				images += len(e.Rows)
			}
		case *replication.RotateEvent:
			current = string(e.NextLogName)
		}
		if current == endFile && int(event.Header.LogPos) >= endPosition {
			break
		}
	}
	fmt.Printf("%d %.3f\n", images, float64(time.Since(began).Microseconds())/1000)
	syncer.Close()
}
