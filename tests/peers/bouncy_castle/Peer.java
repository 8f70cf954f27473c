import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.security.Security;
import java.util.Base64;
import org.bouncycastle.cms.CMSCompressedData;
import org.bouncycastle.cms.CMSCompressedDataGenerator;
import org.bouncycastle.cms.CMSProcessableByteArray;
import org.bouncycastle.cms.jcajce.ZlibCompressor;
import org.bouncycastle.cms.jcajce.ZlibExpanderProvider;
import org.bouncycastle.jce.provider.BouncyCastleProvider;

/**
 * Does with Bouncy Castle what standard input asks for, one job per line.
 *
 * A job is a command and fields, "sign key=BASE64 content=BASE64"; a field may come several times.
 * The answer is one line: "ok BASE64", or "no BASE64" with the exception's text.
 */
public final class Peer {
    public static void main(String[] arguments) throws Exception {
        Security.addProvider(new BouncyCastleProvider());
        PrintStream answers = System.out;
        System.setOut(System.err);
        BufferedReader jobs = new BufferedReader(new InputStreamReader(System.in, "US-ASCII"));
        for (String line = jobs.readLine(); line != null; line = jobs.readLine()) {
            String verdict = "ok ";
            byte[] octets;
            try {
                octets = done(new Job(line));
            } catch (Exception | LinkageError refusal) {
                verdict = "no ";
                octets = told(refusal).getBytes("UTF-8");
            }
            answers.print(verdict + Base64.getEncoder().encodeToString(octets) + "\n");
            answers.flush();
        }
    }

    private static byte[] done(Job job) throws Exception {
        switch (job.command) {
            case "version":
                return new BouncyCastleProvider().getVersionStr().getBytes("UTF-8");
            case "sign":
                return Signatures.sign(job);
            case "verify":
                return Signatures.verify(job);
            case "encrypt":
                return Envelopes.encrypt(job);
            case "decrypt":
                return Envelopes.decrypt(job);
            case "compress":
                CMSProcessableByteArray content = new CMSProcessableByteArray(job.one("content"));
                return new CMSCompressedDataGenerator()
                        .generate(content, new ZlibCompressor())
                        .getEncoded();
            case "expand":
                return new CMSCompressedData(job.one("cms")).getContent(new ZlibExpanderProvider());
            default:
                throw new IllegalArgumentException("there is no command " + job.command);
        }
    }

    private static String told(Throwable refusal) {
        StringBuilder text = new StringBuilder();
        for (Throwable cause = refusal; cause != null; cause = cause.getCause()) {
            text.append(text.length() == 0 ? "" : " <- ").append(cause);
        }
        return text.toString();
    }
}
