import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.opensearch.common.logging.LogConfigurator;
import org.opensearch.common.settings.Settings;
import org.opensearch.index.reindex.ReindexPlugin;
import org.opensearch.node.InternalSettingsPreparer;
import org.opensearch.node.Node;
import org.opensearch.painless.PainlessPlugin;
import org.opensearch.transport.Netty4Plugin;

/** One real OpenSearch node on 127.0.0.1. Arguments: HTTP port, folder. It ends when its standard input closes. */
public class OpenSearchLocal {
    /** Node's constructor that takes plug-in classes is protected. */
    static class LocalNode extends Node {
        LocalNode(Settings settings) {
            super(
                InternalSettingsPreparer.prepareEnvironment(settings, Map.of(), null, () -> "local"),
                List.of(Netty4Plugin.class, ReindexPlugin.class, PainlessPlugin.class),
                false);
        }
    }

    public static void main(String[] arguments) {
        Settings settings = Settings.builder()
            .put("path.home", Path.of(arguments[1]).toAbsolutePath().toString())
            .put("cluster.name", "local")
            .put("node.name", "local")
            .put("discovery.type", "single-node")
            .put("network.host", "127.0.0.1")
            .put("http.port", arguments[0])
            .put("transport.port", "0")
            .put("action.auto_create_index", false) // a mistyped name must not make an index
            .put("cluster.routing.allocation.disk.threshold_enabled", false)
            .put("node.store.allow_mmap", false) // else vm.max_map_count must be raised
            .put("indices.breaker.total.use_real_memory", false) // else a small heap answers bulk requests with 429
            .put("gateway.auto_import_dangling_indices", true) // silences a warning at start
            .put("logger.level", "WARN")
            .build();
        try {
            LogConfigurator.setNodeName("local");
            LogConfigurator.configureWithoutConfig(settings);
            new LocalNode(settings).start();
            while (System.in.read() >= 0) { }
            System.exit(0);
        } catch (Throwable failure) { // OpenSearch's threads would keep the JVM alive
            failure.printStackTrace();
            System.exit(1);
        }
    }
}
